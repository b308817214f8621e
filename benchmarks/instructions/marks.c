/* What a Python program under callgrind asks of it: see marks.py. */
#include <stddef.h>
#include <unistd.h>
#include <valgrind/callgrind.h>

void instrument(void) { CALLGRIND_START_INSTRUMENTATION; }

void toggle(void) { CALLGRIND_TOGGLE_COLLECT; }

void dump(const char *label) { CALLGRIND_DUMP_STATS_AT(label); }

/* Send PINGs to a store over a connected blocking socket, each after the answer to the one before. 0 if all were answered. */
int ping(int connection, int times) {
    static const char request[] = "PING\r\n", answer[] = "+PONG\r\n";
    char heard[sizeof answer];
    while (times-- > 0) {
        if (write(connection, request, sizeof request - 1) != sizeof request - 1) return -1;
        for (size_t length = 0; length < sizeof answer - 1;) {
            ssize_t got = read(connection, heard + length, sizeof answer - 1 - length);
            if (got <= 0) return -1;
            length += (size_t)got;
        }
    }
    return 0;
}
