/* SPDX-License-Identifier: MIT */
/*
 * The hand-off's machine for its model (handoff.pml): its names as numbers, and handoff_next() as a
 * table, asked of the code itself. With an argument ("state", "event", "action",
 * "message") the names of that kind, one a line.
 */
#include "cmd/handoff/machine.h"
#include "transport/control.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const enum control_type messages[] = {CONTROL_READY, CONTROL_GO, CONTROL_STARTED,
    CONTROL_FAILED, CONTROL_ABORT, CONTROL_HEARD, CONTROL_ASK, CONTROL_ANSWER};

enum { MESSAGES = sizeof(messages) / sizeof(messages[0]) };

static const char *state_name(unsigned i)
{
    return handoff_state_name((enum handoff_state)i);
}

static const char *event_name(unsigned i)
{
    return handoff_event_name((enum handoff_event)i);
}

/* The wire's are in capitals, and so are the model's: READY is a message, ready a state. */
static const char *message_name(unsigned i)
{
    return control_type_name((uint16_t)messages[i]);
}

static const struct kind {
    const char *name;
    const char *(*spell)(unsigned i);
    unsigned count;
} kinds[] = {
    {"state", state_name, HANDOFF_STATES},
    {"event", event_name, HANDOFF_EVENTS},
    {"action", handoff_action_name, HANDOFF_ACTIONS},
    {"message", message_name, MESSAGES},
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static void print_names(void)
{
    for (unsigned k = 0; k < KINDS; k++)
        for (unsigned i = 0; i < kinds[k].count; i++)
            if (!strcmp(kinds[k].name, "action"))
                printf("#define %s (1 << %u)\n", kinds[k].spell(i), i);
            else
                printf("#define %s %u\n", kinds[k].spell(i), i + 1);
}

/* Names count from 1: 0 is none. */
static void print_table(const char *name, bool actions)
{
    printf("static const int %s[%u][%u] = {{0},\n", name, HANDOFF_STATES + 1, HANDOFF_EVENTS + 1);
    for (unsigned s = 0; s < HANDOFF_STATES; s++) {
        printf("    {0");
        for (unsigned e = 0; e < HANDOFF_EVENTS; e++) {
            const struct handoff_step step = handoff_next(handoff_role_of((enum handoff_state)s),
                (enum handoff_state)s, (enum handoff_event)e);

            printf(", %u", actions ? step.actions : (unsigned)step.next + 1);
        }
        printf("},\n");
    }
    printf("};\n");
}

static void print_function(void)
{
    printf("c_decl {\n");
    print_table("model_next", false);
    print_table("model_actions", true);
    printf("}\nhidden byte q_state, q_event;\nhidden int q_actions;\n"
           "inline handoff_next(state_, event_, actions_)\n{\n    d_step {\n"
           "        q_state = state_; q_event = event_;\n"
           "        c_code {\n"
           "            q_actions = model_actions[q_state][q_event];\n"
           "            q_state = model_next[q_state][q_event];\n"
           "        };\n"
           "        assert(!(q_actions & impossible));\n"
           "        state_ = q_state; actions_ = q_actions\n    }\n}\n");
}

int main(int argc, char **argv)
{
    if (argc == 1) {
        print_names();
        print_function();
        return 0;
    }
    for (unsigned k = 0; k < KINDS; k++)
        for (unsigned i = 0; i < kinds[k].count && !strcmp(kinds[k].name, argv[1]); i++)
            printf("%s\n", kinds[k].spell(i));
    return 0;
}
