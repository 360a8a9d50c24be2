# For tests that run ranks. Under sanitizers: what MPI keeps, which only whole call stacks tell, and its locks are not ours.
here=$(cd "$(dirname "$0")/../comm" && pwd)
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}fast_unwind_on_malloc=0"
export LSAN_OPTIONS="suppressions=$here/leaks.supp:print_suppressions=0"
export TSAN_OPTIONS="${TSAN_OPTIONS:+$TSAN_OPTIONS:}suppressions=$here/threads.supp:print_suppressions=0"
