"""The tables: Markdown, LaTeX, CSV and terminal text of what was found."""
