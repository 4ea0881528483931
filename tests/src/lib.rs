//! What the end-to-end tests share. Knows the command line of heapray and nothing of its insides.
