/*
 * Who is woken for a message or for room (runtime/channel.cpp, channel_wait.cpp; pools of workers do the same, worker_pool.cpp):
 * nobody sleeps while what he waits for is there.
 *
 *   look    take a message (or put one): claim it, then commit, which makes room (or a message); then announce that
 *   announce  if the mask of who waits for it is not empty, wake one
 *   wake    go round the mask; who clears a bit has given that process the wake: leave an event in its ring, ring its bell
 *   wait    set the own bit; arm the bell; look; in vain, and the bit is gone: set it and look again, for whoever has cleared it
 *           may have rung before the bell was armed; sleep until rung; look; in vain: all of it again
 *   leave   clear the own bit, if no other thread of the process waits there; if others wait and something is there, or the channel
 *           is closed, wake one: the wake that the bit was cleared for may have been for that
 *   set aside  a process has waits that no thread sleeps for (runtime/fibers.cpp). It is told by the event, looks for each of
 *           them, and sets the bit again if that was in vain
 *   close   say so; end the ring; wake everybody
 *   death   the launcher gives back what the dead had claimed, ends the ring if it died over closing it, clears its bits, has
 *           everybody look at all waits, and rings every bell, since the dead one may have cleared a bit and rung nobody
 *
 * Takers 0 .. NT-1 take up to OT messages each, putters NT .. NT+NP-1 put up to OP, into C cells. With TOGETHER the takers 0
 * and 1 are threads of one process; with ASIDE the process 0 has two waits for messages, both set aside; with CLOSES another
 * process closes the channel. Some that wait give up, GIVE_UPS times in all. Each step may be its process's last. Nobody wakes
 * up by himself here: the second after which a real sleeper looks again must not be needed. What a bell does when its waker
 * dies in the middle is in doorbell.pml, the ring in channel.pml; the fences that make this sequentially consistent are tried
 * by tests/interleave.
 *
 * Checked: when nothing moves any more, nobody sleeps for what is there. MUTATE_... put mistakes in that must be found.
 */
#ifndef NT
#define NT 2
#endif
#ifndef NP
#define NP 1
#endif
#ifndef OT
#define OT 1
#endif
#ifndef OP
#define OP 2
#endif
#ifndef C
#define C 1
#endif
#ifndef MAXC
#define MAXC 1 /* deaths */
#endif
#ifndef GIVE_UPS
#define GIVE_UPS 0
#endif
#define N (NT + NP) /* threads, and slots; 2 to 4 */
#define CLOSER N    /* waits for nothing */

#define MESSAGES 0
#define ROOM 1
#define SIDE(thread) ((thread) < NT -> MESSAGES : ROOM)
#ifdef TOGETHER
#define SLOT(thread) ((thread) == 1 -> 0 : (thread))
#else
#define SLOT(thread) (thread)
#endif

byte there[2]; /* by side: what is waited for */
bool mark[2 * N];
bool event[N];
bool must_look[N];
bool armed[N];
bool closing;
bool ended;

/* by slot and side, and by thread: known to their process only, and to the launcher when it is dead */
byte waits[2 * N];
bool claimed[N];
bool rung[N];

bool asleep[N];
bool gone[N + 1];
bool buried[N + 1];
byte deaths;
byte given_up;

#define MARK(side, slot) mark[(side) * N + (slot)]
#define SOMEBODY(side) (MARK(side, 0) || MARK(side, 1) || MARK(side, N / 2) || MARK(side, N - 1))
#define SOMEBODY_UNBURIED (gone[0] && !buried[0] || gone[1] && !buried[1] || gone[N / 2] && !buried[N / 2] || \
                           gone[N - 1] && !buried[N - 1] || gone[N] && !buried[N])
#define WRITING (claimed[NT] || claimed[N - 1])
#define RUNG(slot) \
    rung[slot] = true; \
    if :: (slot) == 0 && SLOT(1) == 0 -> rung[1] = true :: else fi

#define STEP(...) \
    if \
    :: atomic { gone[slot] -> goto died } /* by another thread */ \
    :: atomic { !gone[slot] && deaths < MAXC -> deaths++; gone[slot] = true; goto died } \
    :: atomic { !gone[slot] -> __VA_ARGS__ } \
    fi

#ifdef ASIDE
#define LEAVE_EVENT(to) event[to] = true
#else
#define LEAVE_EVENT(to) skip /* taken by nobody */
#endif
#define WAKE(to) \
    STEP(LEAVE_EVENT(to)); \
    STEP(if :: armed[to] -> armed[to] = false; RUNG(to) :: else fi)

/* Which one the round begins with is remembered by the waker, so it is any. Words are looked at one after the other: WALK. */
#ifdef WALK
#define TAKE_BIT(which) \
    atomic { tries = N; if :: to = 0 :: to = 1 :: to = N - 1 fi }; \
    do \
    :: tries == 0 -> break \
    :: tries > 0 -> \
        STEP(found = MARK(which, to); \
             if :: found -> MARK(which, to) = false; tries = 0 :: else -> tries--; to = (to + 1) % N fi) \
    od
#else
#define TAKE_BIT(which) \
    STEP(found = true; \
         if :: MARK(which, 0) -> to = 0 :: MARK(which, 1) -> to = 1 :: MARK(which, N / 2) -> to = N / 2 \
            :: MARK(which, N - 1) -> to = N - 1 :: !SOMEBODY(which) -> found = false fi; \
         if :: found -> MARK(which, to) = false :: else fi)
#endif
#define WAKE_ONE(which) \
    TAKE_BIT(which); \
    if \
    :: found -> WAKE(to) \
    :: !found \
    fi; \
    atomic { to = 0; found = false; others = false }

/* In a channel that is closed others may wait to learn that nothing comes back. */
#ifdef CLOSES
#define TELL_OF_THE_END(side) \
    STEP(others = (side == MESSAGES && closing && SOMEBODY(side))); \
    if \
    :: others -> WAKE_ONE(side) \
    :: !others \
    fi
#else
#define TELL_OF_THE_END(side) skip
#endif

/* `got`: it has taken or put one. `over`: nothing will come. */
inline look(side) {
#ifdef MUTATE_LOOK_AT_MASK_FIRST
    STEP(others = SOMEBODY(1 - side));
#endif
    STEP(over = ended && (side == ROOM || (there[MESSAGES] == 0 && !WRITING));
         got = (!over && there[side] > 0);
         if :: got -> there[side]--; claimed[me] = true :: else fi);
    if
    :: got ->
        STEP(there[1 - side]++; claimed[me] = false);
#ifndef MUTATE_LOOK_AT_MASK_FIRST
        STEP(others = SOMEBODY(1 - side));
#endif
        if
        :: others -> WAKE_ONE(1 - side)
        :: !others
        fi;
        TELL_OF_THE_END(side)
    :: !got
    fi
}

#define WAITS(side) waits[(side) * N + slot]

inline leave(side) {
#if defined(MUTATE_BIT_STAYS)
    STEP(WAITS(side)--);
#elif defined(MUTATE_CLEAR_FOR_ALL)
    STEP(WAITS(side)--; MARK(side, slot) = false);
#else
    STEP(WAITS(side)--; if :: WAITS(side) == 0 -> MARK(side, slot) = false :: else fi);
#endif
#ifndef MUTATE_NO_HANDING_ON
    STEP(others = SOMEBODY(side));
    if
#ifdef MUTATE_END_NOT_HANDED_ON
    :: others -> STEP(others = (there[side] > 0))
#else
    :: others -> STEP(others = (there[side] > 0 || closing))
#endif
    :: !others
    fi;
    if
    :: others -> WAKE_ONE(side)
    :: !others
    fi
#endif
}

#define BEGIN(side) STEP(WAITS(side)++; waiting = true)
#define SET_BIT(side) STEP(MARK(side, slot) = true)
#define ARM STEP(armed[slot] = true; rung[me] = false; may_sleep = true)

/* A thread that sleeps for what it waits for. */
proctype Waiter(byte me) {
    byte n, tries, to;
    byte slot = SLOT(me);
    bool got, over, others, found, patient, waiting, may_sleep, again;
    do
    :: n == (me < NT -> OT : OP) -> break
    :: n < (me < NT -> OT : OP) ->
        look(SIDE(me));
        if
        :: got || over ->
            if
            :: waiting -> leave(SIDE(me))
            :: !waiting
            fi;
            atomic { n = (over -> (me < NT -> OT : OP) : n + 1); got = false; over = false; waiting = false; may_sleep = false; again = false }
        :: !got && !over && !may_sleep ->
            if
            :: !waiting ->
                BEGIN(SIDE(me));
                atomic { if :: patient = true :: given_up < GIVE_UPS -> given_up++; patient = false fi };
                SET_BIT(SIDE(me))
            :: waiting -> SET_BIT(SIDE(me))
            fi;
            ARM;
#ifdef MUTATE_NO_SECOND_LOOK
            goto sleeps
#endif
#ifndef MUTATE_NOT_AGAIN
        :: !got && !over && may_sleep && !again ->
            STEP(again = true; found = MARK(SIDE(me), slot));
            if
            :: !found -> SET_BIT(SIDE(me))
            :: found -> atomic { found = false }; goto sleeps
            fi
#else
        :: !got && !over && may_sleep && !again -> goto sleeps
#endif
        :: !got && !over && may_sleep && again ->
sleeps:     atomic { may_sleep = false; again = false; asleep[me] = true };
end_asleep: if
            :: atomic { rung[me] -> asleep[me] = false }
            :: atomic { gone[slot] -> goto died }
            :: atomic { !patient -> asleep[me] = false; n++ };
                leave(SIDE(me));
                atomic { waiting = false }
            fi
        fi
    od;
    goto done;
died: atomic { asleep[me] = false };
done: skip
}

#ifdef ASIDE
#define OF_HOST 2

/* Its thread waits for something that does not come, and has set two waits for messages aside. */
proctype Host() {
    byte aside, served, k, tries, to;
    byte slot = 0, me = 0;
    bool got, over, others, found, waiting, may_sleep, told;
    do
    :: k == OF_HOST -> break
    :: k < OF_HOST ->
        look(MESSAGES);
        if
        :: got || over
        :: !got && !over ->
            BEGIN(MESSAGES);
            SET_BIT(MESSAGES);
            look(MESSAGES);
            atomic { if :: got || over -> served++ :: else -> aside++ fi }
        fi;
        atomic { k++; got = false; over = false }
    od;
    do
    :: served > 0 -> leave(MESSAGES); atomic { served-- }
    :: served == 0 && aside == 0 -> break
    :: served == 0 && aside > 0 ->
        STEP(told = event[0] || must_look[0]; event[0] = false; must_look[0] = false; k = (told -> aside : 0));
        do
        :: k == 0 -> break
        :: k > 0 ->
            look(MESSAGES);
#ifndef MUTATE_NOT_AGAIN
            if
            :: !got && !over ->
                STEP(found = MARK(MESSAGES, 0));
                if
                :: !found -> SET_BIT(MESSAGES); look(MESSAGES)
                :: found -> found = false
                fi
            :: got || over
            fi;
#endif
            atomic { if :: got || over -> served++; aside-- :: else fi; k--; got = false; over = false }
        od;
        if
        :: told || served > 0 -> told = false
        :: !told && served == 0 ->
            ARM;
            STEP(told = event[0] || must_look[0]);
            if
            :: told -> told = false
            :: !told ->
                atomic { asleep[0] = true };
end_asleep:     atomic { rung[0] -> asleep[0] = false }
            fi
        fi
    od;
    goto done;
died: atomic { asleep[0] = false };
done: skip
}
#endif

#ifdef CLOSES
proctype Closer() {
    byte to, side;
    byte slot = CLOSER;
    bool found;
    STEP(closing = true);
    STEP(ended = true);
#ifdef MUTATE_CLOSER_WAKES_NOBODY
    goto died;
#endif
    do
    :: side > ROOM -> break
    :: side <= ROOM ->
        STEP(found = MARK(side, to));
        if
        :: found -> STEP(MARK(side, to) = false); WAKE(to)
        :: !found
        fi;
        atomic { to++; if :: to == N -> to = 0; side++ :: else fi }
    od;
died: skip
}
#endif

inline give_back(thread) {
    if
    :: claimed[thread] && SLOT(thread) == w -> there[SIDE(thread)]++; claimed[thread] = false
    :: else
    fi
}

proctype Launcher() {
    byte w, k;
end_idle:
    do
    :: atomic {
        SOMEBODY_UNBURIED ->
            do :: gone[w] && !buried[w] -> break :: else -> w++ od };
        atomic { for (k : 0 .. N - 1) { give_back(k) } k = 0 };
#ifndef MUTATE_BIT_OF_DEAD_STAYS
        if
        :: w < N -> mark[w] = false; mark[N + w] = false
        :: else
        fi;
#endif
#ifndef MUTATE_NO_END_FOR_THE_DEAD
        ended = ended || closing;
#endif
#ifndef MUTATE_NO_LOOK_AFTER_DEATH
        atomic { for (k : 0 .. N - 1) { must_look[k] = true } k = 0 };
#endif
#ifndef MUTATE_NO_RING_AFTER_DEATH
        atomic { for (k : 0 .. N - 1) { rung[k] = true } k = 0 };
#endif
        atomic { buried[w] = true; w = 0 }
    od
}

#define SLEEPS_FOR_NOTHING(thread) \
    (asleep[thread] && (there[SIDE(thread)] > 0 || (closing && (SIDE(thread) == ROOM || !WRITING))))

init {
    byte i;
    atomic {
        there[ROOM] = C;
        for (i : 0 .. N - 1) {
#ifdef ASIDE
            if :: i == 0 -> run Host() :: else -> run Waiter(i) fi
#else
            run Waiter(i)
#endif
        }
#ifdef CLOSES
        run Closer();
#endif
        run Launcher();
        i = 0
    };
    (timeout);
    for (i : 0 .. N - 1) { assert(!SLEEPS_FOR_NOTHING(i)) }
}
