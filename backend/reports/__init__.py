"""Reports: blocks made from a study, frozen with their evidence, and written as HTML, PDF, Markdown and LaTeX."""
