// sinsp-events: every event of the scap module as libsinsp sees it, in full, as JSON, one object a line.
//
// With -m the events come from the library's own eBPF probe instead of the module, where it has one.
//
//   {"type":"start",...}  events are being captured from here on: versions of this program, the library and the driver's interface
//   {"type":"event",...}  number, time (CLOCK_REALTIME, ns), CPU, thread, direction, name, code, parameters, process, descriptor;
//                         with -o FIELD,FIELD... the library's own fields of these names too, null where one has no value; those
//                         that the library does not know are told at the start
//   {"type":"fence",...}  a close of a descriptor that is kept for this was read (see FENCES), and what the driver lost until then
//   {"type":"end",...}    how many there were, what the driver lost, and whether all that happened before the end was read
//
// On SIGINT and SIGTERM it provokes a fence of its own on each CPU, reads until all came back, and ends: libsinsp itself throws away
// what is still in the rings and counts no drop.

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <sstream>
#include <utility>
#include <vector>

#include "library.h"
#include "params.h"

namespace {

enum Exit { GOOD = 0, USAGE = 2, SETUP_FAILED = 96, INCOMPLETE = 97 };

volatile sig_atomic_t asked_to_end = 0;

// No program has descriptors of these numbers, so a close of one is meant for the reader of this stream, who has provoked it: it is
// told whatever the filter says. When the fence of a number came back from each CPU, all that happened before is in the stream.
constexpr int64_t FENCES = 0x50570000;
constexpr int64_t OWN_FENCE = FENCES + 0xffff;
constexpr time_t FENCE_DEADLINE_SECONDS = 10;

// The form of what is printed: 2 since fences and fields are.
constexpr uint64_t FORM = 2;

struct Options {
    uint64_t most = UINT64_MAX;
    std::string filter;
    std::vector<std::string> fields;
    bool probe = false;
};

[[noreturn]] void leave(int code) {
    std::fflush(stdout);
    // The library's own end crashes.
    _exit(code);
}

Options parse(int argc, char** argv) {
    Options options;
    for (int at = 1; at < argc; at++) {
        const std::string word = argv[at];
        if (word == "-n" && at + 1 < argc) {
            char* rest;
            options.most = std::strtoull(argv[++at], &rest, 10);
            if (*rest != 0 || options.most == 0) {
                std::cerr << "sinsp-events: -n `" << argv[at] << "`: not a number above 0\n";
                std::exit(USAGE);
            }
        } else if (word == "-o" && at + 1 < argc) {
            std::istringstream names(argv[++at]);
            for (std::string name; std::getline(names, name, ',');) {
                options.fields.push_back(name);
            }
        } else if (word == "-m") {
            options.probe = true;
        } else if (word.size() > 1 && word[0] == '-') {
            std::cerr << "usage: sinsp-events [-m] [-n EVENTS] [-o FIELD,FIELD...] [FILTER]\n";
            std::exit(USAGE);
        } else {
            options.filter += (options.filter.empty() ? "" : " ") + word;
        }
    }
    return options;
}

void print(const std::string& line) {
    if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size()) {
        _exit(SETUP_FAILED);
    }
}

void text(Line& json, const char* name, const char* text) {
    json.key(name);
    text == nullptr ? json.null() : json.string(text);
}

void process(Line& json, sinsp_evt& event) {
    json.key("process");
    sinsp_threadinfo* thread = event.get_thread_info();
    if (thread == nullptr) {
        json.null();
        return;
    }
    std::string command;
    sinsp_threadinfo::populate_cmdline(command, thread);
    // A thread's own parent is whichever thread made it.
    sinsp_threadinfo* first = thread->get_main_thread();
    json.begin('{').key("pid").number(int64_t{thread->m_pid});
    json.key("ppid").number(int64_t{(first == nullptr ? thread : first)->m_ptid});
    json.key("name").string(thread->get_comm());
    json.key("exe").string(thread->get_exepath());
    json.key("command").string(command);
    json.end('}');
}

void descriptor(Line& json, sinsp_evt& event) {
    json.key("fd");
    auto* info = event.get_fd_info();
    if (info == nullptr) {
        json.null();
        return;
    }
    json.begin('{').key("kind").string(info->get_typestring());
    json.key("name").string(info->tostring_clean());
    json.end('}');
}

// The library's own fields, each by a formatter of its own.
struct Field {
    std::string name;
    std::unique_ptr<sinsp_evt_formatter> formatter;
};

void fields(Line& json, sinsp_evt& event, const std::vector<Field>& wanted) {
    json.key("fields").begin('{');
    for (const Field& field : wanted) {
        std::string shown;
        json.key(field.name);
        // Without the asterisk of a format a field without a value makes this false.
        field.formatter->tostring(&event, &shown) ? json.string(shown) : json.null();
    }
    json.end('}');
}

std::string described(sinsp_evt& event, const std::vector<Field>& wanted) {
    Line json;
    json.begin('{').key("type").string("event");
    json.key("num").number(uint64_t{event.get_num()});
    json.key("ts").number(uint64_t{event.get_ts()});
    json.key("cpu").number(int64_t{event.get_cpuid()});
    json.key("tid").number(int64_t{event.get_tid()});
    json.key("dir").string(event.get_direction() == SCAP_ED_IN ? ">" : "<");
    json.key("name").string(event.get_name());
    json.key("code").number(uint64_t{event.get_type()});
    json.key("params").begin('[');
    for (uint32_t at = 0; at < event.get_num_params(); at++) {
        const auto* param = event.get_param(at);
        const std::string type = type_name(event.get_param_info(at)->type);
        const char* resolved = nullptr;
        const char* shown = event.get_param_as_str(at, &resolved);
        json.begin('{').key("name").string(event.get_param_name(at));
        json.key("type").string(type).key("value");
        value(json, type, bytes_of(*param, 0), length_of(*param, 0));
        text(json, "text", shown);
        text(json, "resolved", resolved);
        json.key("raw").hex(bytes_of(*param, 0), length_of(*param, 0));
        json.end('}');
    }
    json.end(']');
    process(json, event);
    descriptor(json, event);
    if (!wanted.empty()) {
        fields(json, event, wanted);
    }
    json.end('}');
    return json.finish();
}

// From a child: the driver does not record the calls of its reader.
void provoke_fence() {
    const pid_t child = fork();
    if (child == 0) {
        const long cpus = sysconf(_SC_NPROCESSORS_CONF);
        for (long cpu = 0; cpu < cpus; cpu++) {
            cpu_set_t set;
            CPU_ZERO(&set);
            CPU_SET(cpu, &set);
            if (sched_setaffinity(0, sizeof set, &set) == 0) {
                close(static_cast<int>(OWN_FENCE));
            }
        }
        _exit(0);
    }
    if (child > 0) {
        waitpid(child, nullptr, 0);
    }
}

// The number of the fence that an event is, or -1. API 1.0 has the descriptor in the call's enter, later ones in its exit.
int64_t fence_of(sinsp_evt& event) {
    if (std::strcmp(event.get_name(), "close") != 0) {
        return -1;
    }
    for (uint32_t at = 0; at < event.get_num_params(); at++) {
        const auto* param = event.get_param(at);
        if (length_of(*param, 0) == 8) {
            const auto value = params::load<int64_t>(bytes_of(*param, 0));
            if (value >= FENCES && value <= OWN_FENCE) {
                return value;
            }
        }
    }
    return -1;
}

time_t seconds() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

struct Counts {
    uint64_t read = 0;
    uint64_t printed = 0;
    bool complete = false;
};

void print_counts(Line& json, sinsp& inspector, const Counts& counts) {
    scap_stats stats = {};
    inspector.get_capture_stats(&stats);
    json.key("read").number(counts.read);
    json.key("printed").number(counts.printed);
    json.key("driver_events").number(uint64_t{stats.n_evts});
    json.key("drops").number(uint64_t{stats.n_drops});
    json.key("drops_buffer").number(uint64_t{stats.n_drops_buffer});
    json.key("drops_page_fault").number(uint64_t{stats.n_drops_pf});
    json.key("preemptions").number(uint64_t{stats.n_preemptions});
    json.end('}');
    print(json.finish());
}

void print_fence(sinsp& inspector, sinsp_evt& event, int64_t fence, const Counts& counts) {
    Line json;
    json.begin('{').key("type").string("fence").key("number").number(fence - FENCES);
    json.key("cpu").number(int64_t{event.get_cpuid()});
    print_counts(json, inspector, counts);
    std::fflush(stdout);
}

void print_end(sinsp& inspector, const Counts& counts) {
    Line json;
    json.begin('{').key("type").string("end");
    json.key("complete").boolean(counts.complete);
    print_counts(json, inspector, counts);
}

Counts capture(sinsp& inspector, sinsp_filter* filter, const std::vector<Field>& wanted, uint64_t most) {
    Counts counts;
    time_t give_up = 0;
    uint64_t flushed = 0;
    long fences = 0;
    while (true) {
        if (asked_to_end && give_up == 0) {
            give_up = seconds() + FENCE_DEADLINE_SECONDS;
            provoke_fence();
        }
        sinsp_evt* event = nullptr;
        const int32_t result = inspector.next(&event);
        if (result == SCAP_TIMEOUT) {
            std::fflush(stdout);
        } else if (is_internal(result)) {
            continue;
        } else if (result != SCAP_SUCCESS) {
            std::cerr << "sinsp-events: libsinsp: " << inspector.getlasterr() << '\n';
            return counts;
        } else {
            counts.read++;
            const int64_t fence = fence_of(*event);
            if (fence == OWN_FENCE) {
                if (give_up != 0 && ++fences == sysconf(_SC_NPROCESSORS_ONLN)) {
                    counts.complete = true;
                    return counts;
                }
            } else if (fence >= 0) {
                print_fence(inspector, *event, fence, counts);
            } else if (filter == nullptr || filter->run(event)) {
                print(described(*event, wanted));
                if (++counts.printed == most) {
                    counts.complete = true;
                    return counts;
                }
            }
            if (event->get_ts() > flushed + 50000000) {
                flushed = event->get_ts();
                std::fflush(stdout);
            }
        }
        if (give_up != 0 && seconds() > give_up) {
            return counts;
        }
    }
}

// What the driver says of its interface, null where none is there (PPM_IOCTL_GET_API_VERSION and _SCHEMA_VERSION).
void versions(Line& json) {
    const int device = open("/dev/scap0", O_RDONLY | O_CLOEXEC);
    const std::pair<const char*, unsigned long> asked[] = {{"api", 0x7300 | 24}, {"schema", 0x7300 | 25}};
    for (const auto& [name, request] : asked) {
        uint64_t packed = 0;
        json.key(name);
        if (device < 0 || ioctl(device, request, &packed) != 0) {
            json.null();
            continue;
        }
        char text[64];
        std::snprintf(text, sizeof text, "%u.%u.%u", unsigned(packed >> 44 & 0x7ffff), unsigned(packed >> 24 & 0xfffff),
                      unsigned(packed & 0xffffff));
        json.string(text);
    }
    if (device >= 0) {
        close(device);
    }
}

}  // namespace

int main(int argc, char** argv) {
    const Options options = parse(argc, argv);
    struct sigaction on_signal = {};
    on_signal.sa_handler = [](int) { asked_to_end = 1; };
    sigaction(SIGINT, &on_signal, nullptr);
    sigaction(SIGTERM, &on_signal, nullptr);
    signal(SIGPIPE, SIG_IGN);
    static char buffer[1 << 20];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);

    static sinsp inspector;
    sinsp_filter* filter = nullptr;
    try {
        if (!options.filter.empty()) {
            sinsp_filter_compiler compiler(&inspector, options.filter);
            // Lives as long as the program: two kinds of pointer in two versions.
            static auto compiled = compiler.compile();
            filter = &*compiled;
        }
    } catch (const std::exception& error) {
        std::cerr << "sinsp-events: the filter `" << options.filter << "`: " << error.what() << '\n';
        leave(USAGE);
    }
    Line json;
    json.begin('{').key("type").string("start").key("form").number(FORM).key("library").string(LIBRARY_VERSION);
    static std::vector<Field> wanted;
    // A field that only other versions of the library have is told, and left out.
    json.key("unknown_fields").begin('[');
    for (const std::string& name : options.fields) {
        try {
            wanted.push_back({name, formatter(inspector, "%" + name)});
        } catch (const std::exception&) {
            json.string(name);
        }
    }
    json.end(']');
    versions(json);
    try {
        options.probe ? open_probe(inspector) : open_module(inspector);
    } catch (const std::exception& error) {
        std::cerr << "sinsp-events: " << error.what()
                  << (options.probe ? "; the eBPF probe needs a library that has one (libsinsp 0.10 or later), root and BTF\n"
                                    : "; is the module loaded (cargo xtask kmod status), and does this library speak its API?\n");
        leave(SETUP_FAILED);
    }
    json.key("pid").number(int64_t{getpid()}).end('}');
    print(json.finish());
    std::fflush(stdout);
    const Counts counts = capture(inspector, filter, wanted, options.most);
    print_end(inspector, counts);
    leave(counts.complete ? GOOD : INCOMPLETE);
}
