"""The model on the robot: its files, and llama.cpp as a supervised child process."""
