"""Questions about authors: invented here, or read from TOFU's files. Free of torch."""
