"""The training examples: recipes, frames, and the questions that leak from the evaluation."""
