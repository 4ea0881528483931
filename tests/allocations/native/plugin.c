// A library that is loaded and unloaded again and again, and allocates.
#include <stdlib.h>

void *plugin_block(size_t size) { return malloc(size); }
void plugin_free(void *p) { free(p); }
