"""The pictures of docs/ that show how something works; those that show figures are drawn by what measures them."""
