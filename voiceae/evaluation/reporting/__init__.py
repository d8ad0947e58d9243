"""A report as people read it: its words, its chart, its pictures, as Markdown and as a page."""
