"""What `mkdocs build` needs beside the pages: links that leave docs/, formulas, the reference of the protocol."""
