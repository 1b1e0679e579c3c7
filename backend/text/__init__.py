"""Text as data: sources, tokenizers, blocks of tokens, questions with answers. Free of torch and transformers."""
