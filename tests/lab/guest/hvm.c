/* SPDX-License-Identifier: MIT */
/*
 * A small HVM guest for the lab: loaded in place of a firmware (firmware_override), in 32-bit
 * protected mode without paging, on one vCPU, with interrupts off. No operating system: it ticks
 * one second after it was created.
 *
 * It rewrites pages and checks them; keeps known values in registers; and has QEMU write to its
 * memory: an rtl8139 in loopback mode copies each frame that is sent into the receive ring, by DMA
 * of the device model and not of the guest. The ring is read again later, so a page that only QEMU
 * wrote and that did not move is found.
 *
 * To a guest that is told of Viridian it sets what it can of that (synthetic MSRs, the hypercall
 * page), and finds it again later.
 *
 *   tick N mem PASSES bad N wrote N fpu CHECKS bad N disk FRAMES bad N viridian CHECKS bad N end
 *
 * once a second through QEMU's serial port: the fields of load.c, "disk" being what came by DMA.
 * A line that comes through that port is a command, known by its first letter: reboot (as the
 * keyboard's controller does it, which is QEMU's), poweroff, crash (hypercalls).
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

enum {
    COM1 = 0x3f8,
    COM1_STATUS = 0x3fd,
    KEYBOARD_CONTROL = 0x64,
    PIT_CONTROL = 0x43,
    PIT_COUNTER = 0x40,
    PCI_ADDRESS = 0xcf8,
    PCI_DATA = 0xcfc,
    PAGE = 4096,
    PAGES = 512, /* 2 MiB that it rewrites */
    FRAME_BYTES = 256,
    FRAMES_PER_S = 20,
};

/* The rtl8139's registers, at its I/O base. */
enum {
    R_TX_STATUS = 0x10,
    R_TX_ADDRESS = 0x20,
    R_RX_BUFFER = 0x30,
    R_COMMAND = 0x37,
    R_RX_READ = 0x38, /* 16 bytes behind */
    R_TX_CONFIG = 0x40,
    R_RX_CONFIG = 0x44,
    RX_RING_BYTES = 8192,
};

#define PIT_HZ 1193182u

static u8 pages[PAGES][PAGE] __attribute__((aligned(PAGE)));
static u8 rx_ring[RX_RING_BYTES + PAGE] __attribute__((aligned(PAGE)));
static u8 tx_frame[FRAME_BYTES] __attribute__((aligned(PAGE)));
static u8 xen_calls[PAGE] __attribute__((aligned(PAGE)));
/* Viridian's, each where an MSR of the same name says. */
static u8 hv_calls[PAGE] __attribute__((aligned(PAGE)));
static u8 hv_assist[PAGE] __attribute__((aligned(PAGE)));
static u8 hv_tsc[PAGE] __attribute__((aligned(PAGE)));
static u8 hv_messages[PAGE] __attribute__((aligned(PAGE)));
static u32 versions[PAGES];
static u8 stack[4 * PAGE] __attribute__((aligned(16), used));

__asm__(".globl start\n"
        "start:\n"
        "    cli\n"
        "    cld\n"
        "    movl $stack + 16384, %esp\n"
        "    xorl %ebp, %ebp\n"
        "    call run\n"
        "1:  hlt\n"
        "    jmp 1b\n");

static inline void out8(u16 port, u8 v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}
static inline void out16(u16 port, u16 v)
{
    __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}
static inline void out32(u16 port, u32 v)
{
    __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}
static inline u8 in8(u16 port)
{
    u8 v;

    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline u32 in32(u16 port)
{
    u32 v;

    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

static inline u64 read_msr(u32 msr)
{
    u64 v;

    __asm__ volatile("rdmsr" : "=A"(v) : "c"(msr));
    return v;
}
static inline void write_msr(u32 msr, u64 v)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "A"(v) : "memory");
}
struct cpuid {
    u32 a, b, c, d;
};
static inline struct cpuid cpuid(u32 leaf)
{
    struct cpuid r;

    __asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(0));
    return r;
}

/* GCC may call it. */
void *memset(void *to, int c, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        ((volatile u8 *)to)[i] = (u8)c;
    return to;
}

/* --- what it says --- */

static void say(const char *text)
{
    for (; *text; text++)
        out8(COM1, (u8)*text);
}

static void say_number(u32 n)
{
    char text[11];
    int at = 10;

    text[at] = '\0';
    do
        text[--at] = (char)('0' + n % 10);
    while (n /= 10);
    say(&text[at]);
}

static void say_field(const char *name, u32 n)
{
    say(name);
    say_number(n);
}

/* --- time: the PIT's counter 0, which runs down and around 18.2 times a second --- */

static u32 pit_last, pit_elapsed;

static void pit_start(void)
{
    out8(PIT_CONTROL, 0x34); /* mode 2, both bytes */
    out8(PIT_COUNTER, 0);
    out8(PIT_COUNTER, 0);
}

static u32 pit_read(void)
{
    u32 low;

    out8(PIT_CONTROL, 0); /* latch */
    low = in8(PIT_COUNTER);
    return low | (u32)in8(PIT_COUNTER) << 8;
}

/* Counts since the last call; whole turns between two calls are missed. */
static u32 pit_step(void)
{
    const u32 now = pit_read(), step = (pit_last - now) & 0xffff;

    pit_last = now;
    pit_elapsed += step;
    return step;
}

/* --- memory --- */

static u32 word_of(u32 page, u32 version, u32 at)
{
    u32 x = page * 2654435761u ^ version * 40503u ^ at * 2246822519u;

    x ^= x >> 15;
    return x * 2246822519u;
}

static void write_page(u32 page)
{
    u32 *words = (u32 *)pages[page];
    const u32 version = ++versions[page];

    for (u32 i = 0; i < PAGE / 4; i++)
        words[i] = word_of(page, version, i);
}

static u32 check_page(u32 page)
{
    const u32 *words = (const u32 *)pages[page];

    for (u32 i = 0; i < PAGE / 4; i++)
        if (words[i] != word_of(page, versions[page], i))
            return 1;
    return 0;
}

/* --- registers --- */

static void set_registers(void)
{
    static const double known = 1234567.25;

    __asm__ volatile("fninit; fldl %0" : : "m"(known));
}

static u32 check_registers(void)
{
    static const double known = 1234567.25;
    double held;

    __asm__ volatile("fstl %0" : "=m"(held));
    return held != known;
}

/* --- the card --- */

static u16 card;
static u32 rx_at, sent, received, rx_bad;
/* Where the last frames lie in the ring, to be read again. */
enum { KEPT = 16 };
static struct {
    u32 at, number;
} kept[KEPT];

static u32 pci_read(u32 device, u32 reg)
{
    out32(PCI_ADDRESS, 0x80000000u | device << 11 | reg);
    return in32(PCI_DATA);
}

static void pci_write(u32 device, u32 reg, u32 v)
{
    out32(PCI_ADDRESS, 0x80000000u | device << 11 | reg);
    out32(PCI_DATA, v);
}

/* No firmware has given it an address: we do. */
static int find_card(void)
{
    for (u32 device = 0; device < 32; device++) {
        if (pci_read(device, 0) != 0x813910ecu)
            continue;
        pci_write(device, 0x10, 0xc100);
        pci_write(device, 4, pci_read(device, 4) | 5); /* I/O, bus master */
        card = (u16)(pci_read(device, 0x10) & 0xfffc);
        return 1;
    }
    return 0;
}

static void start_card(void)
{
    out8(card + R_COMMAND, 0x10); /* reset */
    while (in8(card + R_COMMAND) & 0x10)
        ;
    out32(card + R_RX_BUFFER, (u32)rx_ring);
    out8(card + R_COMMAND, 0x0c);                        /* receive and transmit */
    out32(card + R_TX_CONFIG, 3u << 17);                 /* loopback */
    out32(card + R_RX_CONFIG, 0x0f | 1u << 7 | 7u << 8); /* everything; an 8 KiB ring, no wrap */
    rx_at = 0;
}

static u8 frame_byte(u32 number, u32 at)
{
    return (u8)(word_of(number, 7, at / 4) >> at % 4 * 8);
}

static void send_frame(void)
{
    static u32 slot;

    for (u32 i = 0; i < FRAME_BYTES; i++)
        tx_frame[i] = frame_byte(sent, i);
    sent++;
    out32(card + R_TX_ADDRESS + slot * 4, (u32)tx_frame);
    out32(card + R_TX_STATUS + slot * 4, FRAME_BYTES);
    slot = (slot + 1) % 4;
}

static u32 check_frame(u32 at, u32 number)
{
    for (u32 i = 0; i < FRAME_BYTES; i++)
        if (((volatile u8 *)rx_ring)[at + 4 + i] != frame_byte(number, i))
            return 1;
    return 0;
}

/* Each frame stands behind 4 bytes of status and length, with 4 of CRC. */
static void take_frames(void)
{
    while (!(in8(card + R_COMMAND) & 1)) {
        const volatile u16 *head = (volatile u16 *)(rx_ring + rx_at);
        const u32 length = head[1];

        if (!(head[0] & 1) || length != FRAME_BYTES + 4) {
            rx_bad++;
            start_card();
            received = sent;
            return;
        }
        rx_bad += check_frame(rx_at, received);
        kept[received % KEPT].at = rx_at;
        kept[received % KEPT].number = received;
        received++;
        rx_at = ((rx_at + length + 4 + 3) & ~3u) % RX_RING_BYTES;
        out16(card + R_RX_READ, (u16)(rx_at - 16));
    }
}

/* What came earlier: the ring is larger than what is kept, so nothing has been overwritten. */
static void check_kept(void)
{
    for (u32 i = 0; i < KEPT; i++)
        if (received > KEPT)
            rx_bad += check_frame(kept[i].at, kept[i].number);
}

/* --- Viridian: what a domain and its vCPU have of it, as far as CPUID offers it --- */

enum {
    HV_LEAF = 0x40000000,
    HV_FEATURES = HV_LEAF + 3,
    HV_TIME_REF_COUNT = 0x40000020, /* 100 ns each */
    HV_NOTIFY_LONG_SPIN_WAIT = 8,   /* a hypercall that does nothing and succeeds */
};

/* feature: the bit of HV_FEATURES' EAX that offers it. Nothing of it makes an interrupt: the
 * message's source is masked, the timer not enabled. */
static const struct hv_register {
    u32 msr, feature, value_high, value;
    const u8 *page; /* its frame is in the value, which enables it */
} hv_registers[] = {
    {0x40000000, 5, 0x81000601, 0x0a110000,
        0}, /* who the guest is; first: a hypercall page needs it */
    {0x40000001, 5, 0, 1, hv_calls},
    {0x40000021, 9, 0, 1, hv_tsc},
    {0x40000073, 4, 0, 1, hv_assist},
    {0x40000083, 2, 0, 1, hv_messages},
    {0x40000092, 2, 0, 0x10042, 0},
    {0x400000b0, 3, 0, 0x20000, 0},
    {0x400000b1, 3, 0, 12345678, 0},
};
enum { HV_REGISTERS = sizeof(hv_registers) / sizeof(hv_registers[0]) };

static u32 hv_features, hv_checks, hv_bad;
static u64 hv_time;

static u64 hv_value(const struct hv_register *r)
{
    return (u64)r->value_high << 32 | r->value | (u32)r->page;
}

static int hv_offers(const struct hv_register *r)
{
    return (hv_features >> r->feature & 1) != 0;
}

static int is_viridian(void)
{
    const struct cpuid name = cpuid(HV_LEAF);

    return name.b == 0x7263694d && name.c == 0x666f736f && name.d == 0x76482074; /* Microsoft Hv */
}

static void start_viridian(void)
{
    if (!is_viridian())
        return;
    hv_features = cpuid(HV_FEATURES).a;
    say_field("Viridian, features ", hv_features);
    say("\r\n");
    for (u32 i = 0; i < HV_REGISTERS; i++)
        if (hv_offers(&hv_registers[i]))
            write_msr(hv_registers[i].msr, hv_value(&hv_registers[i]));
}

static u32 hv_call(u32 code)
{
    u32 low = code, high = 0;

    __asm__ volatile("call *%4"
                     : "+a"(low), "+d"(high)
                     : "b"(0), "c"(0), "r"(hv_calls), "S"(0)
                     : "memory", "cc");
    return low;
}

static void check_viridian(void)
{
    u64 now;

    if (!hv_features)
        return;
    for (u32 i = 0; i < HV_REGISTERS; i++) {
        const struct hv_register *r = &hv_registers[i];

        if (!hv_offers(r))
            continue;
        hv_checks++;
        if (read_msr(r->msr) != hv_value(r)) {
            hv_bad++;
            say_field("MSR ", r->msr - HV_LEAF);
            say_field(" has ", (u32)(read_msr(r->msr) >> 32));
            say_field(" ", (u32)read_msr(r->msr));
            say("\r\n");
        }
    }
    hv_checks++;
    hv_bad += hv_call(HV_NOTIFY_LONG_SPIN_WAIT) != 0;
    if (hv_features & 2) { /* its time goes on, and not from 0 */
        now = read_msr(HV_TIME_REF_COUNT);
        hv_checks++;
        hv_bad += now <= hv_time;
        hv_time = now;
    }
}

/* --- how it ends --- */

enum { XEN_SCHED_OP = 29, SHUTDOWN = 2, POWEROFF = 0, CRASH = 3 };

/* Xen's own leaves stand behind Viridian's. */
static void start_xen_calls(void)
{
    write_msr(cpuid((is_viridian() ? 0x40000100 : 0x40000000) + 2).b, (u32)xen_calls);
}

static void shut_down(u32 reason)
{
    u32 ret;

    __asm__ volatile("call *%1"
                     : "=a"(ret)
                     : "r"(xen_calls + XEN_SCHED_OP * 32), "b"(SHUTDOWN), "c"(&reason)
                     : "memory", "cc");
    say_field("cannot be shut down: ", ret);
    say("\r\n");
}

static void obey(char command)
{
    switch (command) {
    case 'r':
        out8(KEYBOARD_CONTROL, 0xfe);
        break;
    case 'p':
        shut_down(POWEROFF);
        break;
    case 'c':
        shut_down(CRASH);
        break;
    }
}

static void listen(void)
{
    static char command;

    while (in8(COM1_STATUS) & 1) {
        const char c = (char)in8(COM1);

        if (c != '\n')
            command = command ? command : c;
        else {
            obey(command);
            command = 0;
        }
    }
}

/* --- */

static u32 passes, bad, wrote, checks, checks_bad;

static void tick(u32 n)
{
    say_field("tick ", n);
    say_field(" mem ", passes);
    say_field(" bad ", bad);
    say_field(" wrote ", wrote);
    say_field(" fpu ", checks);
    say_field(" bad ", checks_bad);
    say_field(" disk ", received);
    say_field(" bad ", rx_bad);
    say_field(" viridian ", hv_checks);
    say_field(" bad ", hv_bad);
    say(" end\r\n");
}

void run(void)
{
    u32 next = 0, ticks = 0, since_frame = 0, random = 1;

    pit_start();
    set_registers();
    start_xen_calls();
    start_viridian();
    for (u32 i = 0; i < PAGES; i++)
        write_page(i);
    if (find_card())
        start_card();
    else
        say("no rtl8139\r\n");
    pit_last = pit_read();
    for (;;) {
        since_frame += pit_step();
        if (card && since_frame >= PIT_HZ / FRAMES_PER_S) {
            since_frame = 0;
            send_frame();
            take_frames();
            listen();
        }
        bad += check_page(next);
        if (++next == PAGES) {
            next = 0;
            passes++;
            check_kept();
        }
        if (random % 8 == 0) {
            write_page(random / 8 % (PAGES / 2)); /* the other half stays as it is */
            wrote++;
        }
        random = random * 1664525u + 1013904223u;
        random ^= random >> 13;
        checks++;
        checks_bad += check_registers();
        if (pit_elapsed >= PIT_HZ) {
            pit_elapsed -= PIT_HZ;
            check_viridian();
            tick(++ticks);
        }
    }
}
