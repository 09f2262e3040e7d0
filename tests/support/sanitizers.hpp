// Whether a test is compiled for a sanitizer: DSHM_SANITIZED for any of them, DSHM_THREAD_SANITIZED for the one of threads.
//
// A test looks here where a sanitizer changes what it tests (limits of the address space, what a fault does) or makes it take
// too long, and says the reason there.
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DSHM_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define DSHM_SANITIZED 1
#endif
#endif

#if defined(__SANITIZE_THREAD__)
#define DSHM_THREAD_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define DSHM_THREAD_SANITIZED 1
#endif
#endif

// Before a function that does what a sanitizer would end it for, because a test is about what comes of it.
#define DSHM_UNSANITIZED __attribute__((noinline, no_sanitize("address", "undefined")))
