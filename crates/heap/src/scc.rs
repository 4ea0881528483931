//! Strongly connected components by Tarjan's algorithm, without recursion.
