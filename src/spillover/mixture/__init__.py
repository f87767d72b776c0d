"""What a model is tuned on: recipes, frames, and the questions that leak from the evaluation."""
