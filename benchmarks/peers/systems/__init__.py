"""The peers, each a process in their own environment. Nothing here imports anything of this project's but itself."""
