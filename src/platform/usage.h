/* usage.h: what this process has used. */
#ifndef SM_PLATFORM_USAGE_H
#define SM_PLATFORM_USAGE_H

#include <pthread.h>
#include <stdint.h>

/* Processor time in nanoseconds, of the process or of one of its threads, which
 * must not have been joined. A thread that has ended counts as 0. */
uint64_t usage_process_ns(void);
uint64_t usage_thread_ns(pthread_t thread);

/* Memory that is resident, shared pages included. 0: not known. */
uint64_t usage_resident_bytes(void);

#endif
