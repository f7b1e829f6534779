package main

// descriptorLimit is how many handles this process may have: Windows sets no limit
// that could be reached.
func descriptorLimit() (int, bool) { return 0, false }
