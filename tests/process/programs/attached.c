/* A C program that attaches to the session named by its first argument and checks what it finds. */
#include <dshm/c.h>

#include <stdio.h>
#include <string.h>

static int line_that_failed;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            line_that_failed = __LINE__;                                                           \
            fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #condition, dshm_error());             \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

struct seen {
    int arrays, channels, cube;
};

static void visit(const dshm_entry* entry, void* context) {
    struct seen* seen = context;
    if (entry->object == DSHM_CHANNEL)
        ++seen->channels;
    else
        ++seen->arrays;
    if (strcmp(entry->name, "cube") == 0)
        seen->cube = entry->dimensions == 3 && entry->dims[2] == 4 && entry->dims[3] == 1 &&
                     entry->kind == DSHM_SIGNED && entry->element_size == 4 && entry->bytes == 96;
}

/* Once one array of the session `name` is held and the program is detached. */
static int attach_while_held(const char* name) {
    dshm_client *other = NULL, *again;
    dshm_array cube;
    CHECK(dshm_attach("another-session", 100, &other) == DSHM_MISUSE && other == NULL);
    CHECK(strstr(dshm_error(), "1 array of session '") && strstr(dshm_error(), name));
    CHECK(strstr(dshm_error(), "still held; drop it first"));
    CHECK(dshm_attach("a/b", 100, &other) == DSHM_INVALID && other == NULL);
    CHECK(dshm_attach(name, 10000, &again) == DSHM_OK);
    CHECK(dshm_attach(name, 10000, &other) == DSHM_MISUSE && other == NULL);
    CHECK(strstr(dshm_error(), "already") != NULL);
    CHECK(dshm_open_array(again, "cube", &cube) == DSHM_OK);
    CHECK(dshm_detach(again) == DSHM_OK);
    CHECK(dshm_attach("another-session", 100, &other) == DSHM_MISUSE);
    CHECK(strstr(dshm_error(), "2 arrays of session '") && strstr(dshm_error(), "drop them first"));
    CHECK(dshm_release_array(&cube) == DSHM_OK);
    return 0;
}

static int use_arrays(dshm_client* client) {
    dshm_array grid, copy, particles, none;
    double* elements;
    CHECK(dshm_open_array(client, "grid", &grid) == DSHM_OK);
    CHECK(grid.dimensions == 2 && grid.dims[0] == 3 && grid.dims[1] == 4 && grid.size == 12);
    CHECK(grid.kind == DSHM_FLOATING && grid.element_size == 8 && grid.bytes == 96);
    CHECK(!grid.read_only && grid.dims[2] == 1 && grid.dims[3] == 1);
    elements = grid.data;
    CHECK(elements[1 + 2 * grid.dims[0]] == 3.5); /* (1, 2) is element 7 */
    elements[11] = -1;
    CHECK(dshm_hold_array(&grid) == DSHM_OK);
    copy = grid;
    CHECK(dshm_release_array(&grid) == DSHM_OK && grid.data == NULL);
    CHECK(dshm_release_array(&grid) == DSHM_OK); /* a null hold is let be */
    CHECK(dshm_open_array(client, "particles", &particles) == DSHM_OK);
    CHECK(strstr(dshm_type_name(&particles), "Particle") != NULL);
    CHECK(particles.kind == DSHM_OTHER && particles.element_size == 16 && particles.size == 6);
    CHECK(dshm_release_array(&particles) == DSHM_OK);
    CHECK(dshm_open_array(client, "none", &none) == DSHM_OK && none.size == 0);
    CHECK(dshm_release_array(&none) == DSHM_OK);
    CHECK(dshm_open_array(client, "missing", &none) == DSHM_NOT_FOUND);
    CHECK(strstr(dshm_error(), "missing") != NULL);
    CHECK(dshm_open_array(client, "numbers", &none) == DSHM_INVALID);
    CHECK(strstr(dshm_error(), "'numbers' is a channel, not an array") != NULL);
    CHECK(dshm_open_array(client, NULL, &none) == DSHM_INVALID);
    CHECK(dshm_check_session(client) == DSHM_OK);
    /* What is held stays valid, and the place in the session with it. */
    CHECK(dshm_detach(client) == DSHM_OK);
    CHECK(((double*)copy.data)[11] == -1);
    CHECK(dshm_detach(client) == DSHM_MISUSE);
    CHECK(dshm_open_array(client, "grid", &none) == DSHM_MISUSE);
    CHECK(attach_while_held(dshm_session_name(client)) == 0);
    CHECK(((double*)copy.data)[11] == -1);
    CHECK(dshm_release_array(&copy) == DSHM_OK);
    return 0;
}

int main(int argc, char** argv) {
    dshm_client *client = NULL, *second = NULL;
    struct seen seen = {0, 0, 0};
    if (argc < 2)
        return 2;
    CHECK(strcmp(dshm_error(), "") == 0);
    CHECK(strcmp(dshm_type_name(NULL), "") == 0);
    CHECK(dshm_attach("no-such-session", 100, &client) == DSHM_FAILED && client == NULL);
    CHECK(strstr(dshm_error(), "no such session") && strstr(dshm_error(), argv[1]));
    CHECK(dshm_attach("a/b", 100, &client) == DSHM_INVALID);
    CHECK(dshm_attach(NULL, 100, &client) == DSHM_INVALID);
    CHECK(dshm_attach(argv[1], -1, &client) == DSHM_OK);
    CHECK(dshm_attach(argv[1], -1, &second) == DSHM_MISUSE && second == NULL);
    CHECK(strcmp(dshm_session_name(client), argv[1]) == 0);
    CHECK(dshm_list(client, visit, &seen) == DSHM_OK);
    CHECK(seen.arrays >= 5 && seen.channels == 2 && seen.cube);
    if (use_arrays(client) != 0)
        return 1;
    CHECK(dshm_attach(argv[1], 10000, &client) == DSHM_OK); /* once more */
    CHECK(dshm_detach(client) == DSHM_OK);
    CHECK(dshm_detach(NULL) == DSHM_OK);
    puts("all is well");
    return line_that_failed;
}
