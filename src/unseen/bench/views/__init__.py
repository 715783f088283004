"""What is made of rows: tables with targets, figures, pages."""
