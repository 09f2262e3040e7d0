/*
 * Who is woken for work (Scheduler::offer, steal_from, wake_a_searcher, wake, sleep): one at a time, and enough of them.
 *
 *   offer   put an entry; wake_a_searcher
 *   wake_a_searcher
 *           nothing if anybody is marked as searching; else mark one that is parked; if it has left meanwhile, take the mark off
 *           and try another; else ring its bell
 *   steal   take an entry; take the own mark off; if the ring still holds one, wake_a_searcher
 *   sleep   take the own mark off; say that one is parked; arm; look again, at the own mark too, since whoever set it may have rung
 *           before the word was armed; sleep until rung
 *   death   the launcher takes the marks of the dead one off and rings every bell; another process comes in its place, unless
 *           NO_SUCCESSOR
 *
 * One process offers T tasks. NW workers sleep at first or are awake. A task never ends, so whoever has begun one takes no other,
 * and each needs a worker of its own. Nobody wakes up by himself here: the second after which a real sleeper looks again must not
 * be needed. Each of a worker's steps may be its last. Sequentially consistent; in the code these words are seq_cst.
 *
 * Checked: when nothing moves any more, no entry lies there. MUTATE_... put mistakes in that must be found.
 */
#ifndef NW
#define NW 3
#endif
#ifndef T
#define T 3
#endif
#ifndef MAXC
#define MAXC 1 /* deaths */
#endif

byte queued;
bool searching[NW];
bool parked[NW];
bool armed[NW];
bool dead[NW];
byte deaths;

#define STEP(...) if :: atomic { deaths < MAXC -> deaths++; dead[me] = true; goto died } :: atomic { __VA_ARGS__ } fi
#define SAFE_STEP(...) atomic { __VA_ARGS__ }
#define SOMEBODY(flags) (flags[0] || flags[NW - 1] || flags[NW / 2])

/* DO is STEP or SAFE_STEP. Which parked one comes next does not matter, so it is any. */
#define WAKE_A_SEARCHER(DO) \
    DO(tries = (SOMEBODY(searching) -> 0 : NW)); \
    do \
    :: tries == 0 -> break \
    :: tries > 0 -> \
        DO(to = NW; \
           if :: parked[0] -> to = 0 :: parked[NW - 1] -> to = NW - 1 :: parked[NW / 2] -> to = NW / 2 \
              :: !SOMEBODY(parked) -> tries = 1 fi); \
        tries--; \
        if \
        :: to == NW -> skip \
        :: to < NW -> \
            DO(searching[to] = true); \
            WAKE_MARKED(DO) \
        fi \
    od; \
    atomic { tries = 0; to = 0 }

#ifdef MUTATE_NO_LOOK_AT_PARKED
#define WAKE_MARKED(DO) DO(armed[to] = false; tries = 0)
#else
#define WAKE_MARKED(DO) \
            DO(left = !parked[to]); \
            if \
            :: left -> DO(searching[to] = false; left = false) \
            :: !left -> DO(armed[to] = false; tries = 0) \
            fi
#endif

proctype Worker(byte me) {
    byte tries, to;
    bool got, left, more;
    do
    :: true ->
        STEP(got = (queued > 0); if :: got -> queued-- :: else fi);
        if
        :: got ->
#ifdef MUTATE_LOOK_BEFORE_MARK
            STEP(more = (queued > 0));
            STEP(searching[me] = false);
#else
            STEP(searching[me] = false);
#ifndef MUTATE_NO_LOOK_AT_THE_REST
            STEP(more = (queued > 0));
#endif
#endif
            if
            :: more -> WAKE_A_SEARCHER(STEP)
            :: !more
            fi;
            break
        :: !got ->
            if /* spins a while, and says so */
            :: STEP(searching[me] = true); STEP(got = (queued > 0)); if :: got -> got = false; goto again :: !got fi
            :: true
            fi;
            STEP(searching[me] = false);
            STEP(parked[me] = true);
            STEP(armed[me] = true);
#ifndef MUTATE_NO_LAST_LOOK
#ifdef MUTATE_NO_LOOK_AT_MARK
            STEP(got = (queued > 0));
#else
            STEP(got = searching[me]);
            if :: got -> skip :: !got -> STEP(got = (queued > 0)) fi;
#endif
#endif
            if
            :: got -> got = false
            :: !got ->
end_asleep:     !armed[me]
            fi;
            STEP(parked[me] = false)
        fi;
again:  skip
    od;
    goto done;
died: skip;
done: skip
}

proctype Origin() {
    byte tries, to, i;
    bool left;
    do
    :: i == T -> break
    :: i < T ->
        SAFE_STEP(queued++; i++);
        WAKE_A_SEARCHER(SAFE_STEP)
    od
}

proctype Launcher() {
    byte w;
end_idle:
    do
    :: dead[0] || dead[NW - 1] || dead[NW / 2] ->
        atomic { if :: dead[0] -> w = 0 :: dead[NW - 1] -> w = NW - 1 :: dead[NW / 2] -> w = NW / 2 fi };
#ifndef MUTATE_MARK_OF_DEAD_STAYS
        searching[w] = false;
#endif
        parked[w] = false;
        atomic { armed[0] = false; armed[NW - 1] = false; armed[NW / 2] = false };
#ifdef NO_SUCCESSOR
        atomic { dead[w] = false; w = 0 }
#else
        atomic { dead[w] = false; run Worker(w); w = 0 }
#endif
    od
}

init {
    atomic {
        run Worker(0); run Worker(NW / 2); if :: NW > 2 -> run Worker(NW - 1) :: else fi;
        run Origin(); run Launcher()
    };
    do
    :: timeout -> assert(queued == 0); break
    od
}
