/* The offsets of ObjectLayout: one FIELD(name, expression) per field, under the versions that have it.
   Included into main() of probe.c; headers are included there. */
