"""The same prompts to several models: what is asked, who answers, and what the answers give away."""
