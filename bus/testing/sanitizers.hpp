#pragma once

/// Defined where ThreadSanitizer watches, which both compilers say in ways of their own.
#if defined(__SANITIZE_THREAD__)
#define CAISSON_UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CAISSON_UNDER_TSAN 1
#endif
#endif
