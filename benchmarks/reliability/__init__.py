"""What is promised of a server that is overloaded, killed, fed with nonsense or shared: each promise measured."""
