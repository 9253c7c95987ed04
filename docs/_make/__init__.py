"""Programs that make the site of ``docs/``; mkdocs leaves this folder out."""
