"""The application: deploy workflows, start runs, follow and control them."""
