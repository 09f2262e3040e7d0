/* Named arrays of a running session, from C and from whatever can call C.
 *
 *     dshm_client* client;
 *     dshm_array grid;
 *     if (dshm_attach("weather", -1, &client) || dshm_open_array(client, "grid", &grid))
 *         return fprintf(stderr, "%s\n", dshm_error()), 1;
 *     double* element = grid.data;                      // column-major: (i, j) is i + j * dims[0]
 *     ...
 *     dshm_release_array(&grid);
 *     dshm_detach(client);
 *
 * The address is the memory that the session's processes work on, not a copy; synchronise as with any
 * shared memory. It is valid from dshm_open_array to the last dshm_release_array, also if the session
 * ends meanwhile. When this program ends, in whatever way, what it held is given back.
 *
 * Every function that gives an int gives DSHM_OK or an error number; dshm_error() has the text. No
 * C++ exception comes out. Any thread may call. dshm/attach.hpp has the same for C++, and channels.
 */
#ifndef DSHM_C_H
#define DSHM_C_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    DSHM_OK = 0,
    DSHM_INVALID = 1,   /* an argument that cannot be, or the name of a channel */
    DSHM_NOT_FOUND = 2, /* nothing of that name */
    DSHM_MISUSE = 3,    /* not now, or not in this process */
    DSHM_FAILED = 4,    /* no such session, or it has ended, or the system refused */
    DSHM_NO_MEMORY = 5
};

enum { DSHM_OTHER = 0, DSHM_SIGNED = 1, DSHM_UNSIGNED = 2, DSHM_FLOATING = 3, DSHM_COMPLEX = 4 };
enum { DSHM_ARRAY = 0, DSHM_CHANNEL = 1 };
enum { DSHM_MAX_DIMS = 4 };

typedef struct dshm_client dshm_client;

/* An array that this program holds. Fill it by dshm_open_array. */
typedef struct dshm_array {
    void* data; /* column-major; null only when size is 0 */
    size_t bytes;
    size_t size;               /* elements: the product of dims */
    size_t dims[DSHM_MAX_DIMS]; /* those from `dimensions` on are 1 */
    size_t element_size;       /* bytes */
    int32_t dimensions;
    int32_t kind; /* DSHM_FLOATING and so on */
    int32_t read_only;
    int32_t reserved;
    void* hold; /* of the library */
} dshm_array;

/* What is there under a name. The texts last as long as the call that is given the entry. */
typedef struct dshm_entry {
    const char* name;
    const char* type; /* as the session's compiler spells it */
    size_t bytes;     /* of an array's elements; 0 of a channel */
    size_t dims[DSHM_MAX_DIMS];
    size_t element_size;
    int32_t dimensions; /* 0 of a channel */
    int32_t kind;       /* of an array's elements */
    int32_t object;     /* DSHM_ARRAY or DSHM_CHANNEL */
    int32_t read_only;
} dshm_entry;

/* Joins the session of that name (its DSHM_NAME). One at a time in a process, and none beside a
 * session of its own. Waits for the session's launcher so long at most; a negative time is 10 s.
 * While arrays are held after dshm_detach, only the session they are of can be joined again, as long
 * as it lives; for another one release them first. */
int dshm_attach(const char* name, int timeout_milliseconds, dshm_client** client);

/* Leaves the session once the last array that is still held has been released: they stay valid until
 * then. Null does nothing. */
int dshm_detach(dshm_client* client);

/* The session's name; it lasts as long as the client. */
const char* dshm_session_name(const dshm_client* client);

/* DSHM_OK while the session goes on. What is held can be read even after its end. */
int dshm_check_session(const dshm_client* client);

/* Calls visit(entry, context) for all that has a name, ascending. */
int dshm_list(const dshm_client* client, void (*visit)(const dshm_entry*, void*), void* context);

/* Finds a named array and holds it. Of any type: look at kind, element_size and dimensions. */
int dshm_open_array(dshm_client* client, const char* name, dshm_array* array);

/* The type of its elements, as dshm_entry has it ("bool", "long double", "(anonymous)::Particle"). It
 * lasts as long as the hold; "" of an array that is not held. */
const char* dshm_type_name(const dshm_array* array);

/* One more hold, for a copy of *array, and one less; the last sets `data` and `hold` of its argument
 * to null, and the address must not be used any more. A null hold is let be. */
int dshm_hold_array(const dshm_array* array);
int dshm_release_array(dshm_array* array);

/* What the last failed call in this thread failed for; "" when none has. */
const char* dshm_error(void);

#ifdef __cplusplus
}
#endif

#endif
