/*
 * Who frees what several processes hold (TaskTable::unheld, ObjectTable::unheld): never too early, and never nobody.
 *
 *   take    under somebody else's share: set the own bit; count the share; now the other one may leave
 *   leave   clear the own bit; look whether anybody is left; if nobody is, free by compare-and-swap
 *   look    read the count; read the words one after the other; read the count again; if it has changed, look anew
 *   death   the launcher clears the dead one's bit, and looks as well
 *
 * Three processes, each with a word of its own (slots 64 apart), each of which takes a share up to TAKES times. Process 0 has
 * the first one. A giver does not leave while it gives: in the code a pin, which the launcher inherits, so a giver that dies is
 * not modelled while it gives. Another process looks at any time, as one that ends a task does, unless NO_ENDER.
 *
 * Checked: nobody has a share when it is freed, and it is freed in the end. MUTATE_... put mistakes in that must be found.
 */
#define HOLDERS 3
#ifndef TAKES
#define TAKES 1
#endif
#ifndef MAXC
#define MAXC 1 /* deaths */
#endif

#define NOBODY 255

bool word[HOLDERS];
bool has[HOLDERS];
byte giver[HOLDERS]; /* whose share this one is being given */
byte giving[HOLDERS];
bool dead[HOLDERS];
bool over[HOLDERS];
byte shares;
byte deaths;
bool freed;

#define MAY_DIE (deaths < MAXC && giving[me] == 0 && giver[me] == NOBODY)
#define STEP(action) if :: atomic { MAY_DIE -> deaths++; dead[me] = true; goto died } :: atomic { action } fi

#ifdef MUTATE_NO_COUNT
#define SAME_COUNT true
#else
#define SAME_COUNT (shares == before)
#endif

inline look() {
    do
    :: before = shares; nobody = true; k = 0;
        do
        :: atomic { k < HOLDERS -> nobody = nobody && !word[k]; k++ }
        :: k == HOLDERS -> break
        od;
        if
        :: !nobody -> break
        :: nobody ->
            if
            :: atomic { SAME_COUNT -> k = 0 }; break
            :: atomic { !SAME_COUNT -> k = 0 }
            fi
        fi
    od;
    k = 0; before = 0
}

inline free_if_nobody() {
    atomic {
        if
        :: nobody && !freed -> assert(!has[0] && !has[1] && !has[2]); freed = true
        :: else
        fi;
        nobody = false
    }
}

proctype Holder(byte me) {
    byte before, k, takes, to;
    bool nobody;
    do
    :: atomic { /* gives a share to another */
        has[me] && giving[me] == 0 ->
        if :: to = 0 :: to = 1 :: to = 2 fi;
        if
        :: to != me && !has[to] && giver[to] == NOBODY && !over[to] && !dead[to] ->
            giver[to] = me; giving[me]++
        :: else
        fi;
        to = 0 }
    :: giver[me] != NOBODY && takes < TAKES -> /* takes one */
#ifdef MUTATE_COUNT_FIRST
        shares++;
        word[me] = true;
#else
        word[me] = true;
        shares++;
#endif
        atomic { has[me] = true; takes++; giving[giver[me]]--; giver[me] = NOBODY }
    :: atomic { giver[me] != NOBODY && takes == TAKES -> giving[giver[me]]--; giver[me] = NOBODY } /* declines */
    :: atomic { has[me] && giving[me] == 0 -> has[me] = false }; /* leaves */
        STEP(word[me] = false);
        look();
        STEP(skip);
        free_if_nobody()
    :: atomic { !has[me] && giver[me] == NOBODY -> over[me] = true; break }
    od;
    goto done;
died:
    has[me] = false;
done: skip
}

proctype Ender() {
    byte before, k;
    bool nobody;
    look();
    free_if_nobody()
}

proctype Launcher() {
    byte before, k, d;
    bool nobody;
    do
    :: d < HOLDERS && dead[d] ->
#ifndef MUTATE_BIT_OF_DEAD_STAYS
        word[d] = false;
#endif
        look();
        free_if_nobody();
        atomic { dead[d] = false; over[d] = true }
    :: atomic { d < HOLDERS && over[d] -> d++ }
    :: d == HOLDERS -> break
    od;
    assert(freed)
}

init {
    atomic {
        word[0] = true; has[0] = true;
        giver[0] = NOBODY; giver[1] = NOBODY; giver[2] = NOBODY;
        run Holder(0); run Holder(1); run Holder(2); run Launcher();
#ifndef NO_ENDER
        run Ender();
#endif
        skip
    }
}
