"""Scores of choices and texts, by transformers or by vLLM."""
