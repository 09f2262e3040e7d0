/*
 * Parking on a doorbell (doorbell.hpp, Scheduler::sleep): no wake is lost, whoever dies wherever.
 *
 *   wait   arm: make the word odd if it is even; look again at the event; sleep while the word has the value that was armed
 *   ring   publish the event; if the word is odd, make it even by compare-and-swap, then wake all sleepers
 *   death  the launcher publishes what the dead one owed (it fails its task), then rings with ring_always: adds 2, which
 *          keeps odd odd, and wakes all sleepers, since the dead one may have made the word even and not woken anybody
 *
 * Two threads of one process wait on the same word, each for ROUNDS events of its own, one after the other. For each there is a
 * process that publishes its events and rings; each of its steps may be its last. Nobody has a time limit here: the second after
 * which a real sleeper looks again must not be needed. Sequentially consistent; in the code the words of the edge `park` are
 * seq_cst for this reason.
 *
 * Checked: both waiters end (an end state in which one still sleeps is an error). MUTATE_... put mistakes in that must be found.
 */
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef MAXC
#define MAXC 2 /* deaths */
#endif

byte word;        /* the bell; even: nobody needs a wake */
bool asleep[2];   /* in the kernel's queue */
byte happened[2]; /* events published for each waiter */
byte deaths;
bool dead[2];
bool over[2];

#define WAKE_ALL asleep[0] = false; asleep[1] = false
#define STEP(...) if :: atomic { deaths < MAXC -> deaths++; dead[me] = true; goto died } :: atomic { __VA_ARGS__ } fi

/* arm() and ring() are loops around a compare-and-swap; what counts is the round that succeeds, which is one step here. */
proctype Waiter(byte me) {
    byte wanted = 1;
    byte armed;
    do
    :: wanted > ROUNDS -> break
    :: atomic { wanted <= ROUNDS && happened[me] >= wanted -> wanted++ }
    :: wanted <= ROUNDS && happened[me] < wanted -> /* the first look; the next step is another */
        atomic {
            if :: word % 2 == 0 -> word++ :: else fi;
            armed = word
        };
#ifndef MUTATE_NO_SECOND_LOOK
        if
        :: atomic { happened[me] >= wanted -> armed = 0; goto awake }
        :: happened[me] < wanted
        fi;
#endif
        atomic { asleep[me] = (word == armed); armed = 0 };
        !asleep[me];
awake:
#ifdef MUTATE_WAITER_DISARMS
        atomic { if :: word % 2 == 1 -> word++ :: else fi }
#else
        skip
#endif
    od;
    over[me] = true
}

/* Publishes the events of one waiter and rings after each. */
proctype Waker(byte me) {
    byte sent;
    bool odd;
    do
    :: sent == ROUNDS -> break
    :: else ->
#ifndef MUTATE_RING_BEFORE_EVENT
        STEP(happened[me]++; sent++);
#endif
        STEP(odd = (word % 2 == 1); if :: odd -> word++ :: else fi);
        if :: odd -> STEP(WAKE_ALL; odd = false) :: else fi;
#ifdef MUTATE_RING_BEFORE_EVENT
        STEP(happened[me]++; sent++)
#endif
    od;
    goto done;
died: skip;
done: skip
}

proctype Launcher() {
    byte w;
    do
    :: dead[0] || dead[1] ->
        atomic {
            if :: dead[0] -> w = 0 :: dead[1] -> w = 1 fi;
            happened[w] = ROUNDS /* its tasks are failed */
        };
#if defined(MUTATE_NO_RING_ALWAYS)
        skip;
#elif defined(MUTATE_RING_ODD_ONLY)
        atomic { if :: word % 2 == 1 -> word = word + 1; WAKE_ALL :: else fi };
#else
        word = word + 2;
        atomic { WAKE_ALL };
#endif
        atomic { dead[w] = false; w = 0 }
    :: over[0] && over[1] -> break
    od
}

init {
    atomic { run Waiter(0); run Waiter(1); run Waker(0); run Waker(1); run Launcher() }
}
