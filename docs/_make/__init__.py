"""What the site of ``docs/`` is made with; mkdocs leaves this folder out."""
