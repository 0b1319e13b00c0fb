"""The pages of the project, and the code that makes a site (`docs.site`) and pictures (`docs.drawing`) for them."""
