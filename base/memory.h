/* Memory of a daemon that stays small. */
#pragma once

/* One heap for all threads instead of one each, which keeps a drain's messages; before the first thread. */
void memory_one_heap(void);
/* Gives back what is not in use now: free memory of the heap, and the pages of programs and libraries that the start
 * and the TLS handshake went through. The latter are the page cache's, unchanged; what is wanted again comes back by
 * itself. */
void memory_release(void);
