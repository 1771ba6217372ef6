local inner = 1
