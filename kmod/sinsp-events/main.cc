// sinsp-events: every event of the scap module as libsinsp sees it, in full, as JSON, one object a line.
//
//   {"type":"start",...}  events are being captured from here on
//   {"type":"event",...}  number, time (CLOCK_REALTIME, ns), CPU, thread, direction, name, code, parameters, process, descriptor
//   {"type":"end",...}    how many there were, what the driver lost, and whether all that happened before the end was read
//
// On SIGINT and SIGTERM it provokes one call of its own, reads until that comes back, and ends: libsinsp itself throws away what
// is still in the rings and counts no drop.

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <memory>

#include "library.h"
#include "params.h"

namespace {

enum Exit { GOOD = 0, USAGE = 2, SETUP_FAILED = 96, INCOMPLETE = 97 };

volatile sig_atomic_t asked_to_end = 0;

// No program has a descriptor of this number, so a close of it is ours.
constexpr int64_t SENTINEL = 0x50571234;
constexpr time_t SENTINEL_DEADLINE_SECONDS = 10;

struct Options {
    uint64_t most = UINT64_MAX;
    std::string filter;
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
        } else if (word.size() > 1 && word[0] == '-') {
            std::cerr << "usage: sinsp-events [-n EVENTS] [FILTER]\n";
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
    json.begin('{').key("pid").number(int64_t{thread->m_pid});
    json.key("ppid").number(int64_t{thread->m_ptid});
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

std::string described(sinsp_evt& event) {
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
        value(json, type, bytes_of(*param), length_of(*param));
        text(json, "text", shown);
        text(json, "resolved", resolved);
        json.key("raw").hex(bytes_of(*param), length_of(*param));
        json.end('}');
    }
    json.end(']');
    process(json, event);
    descriptor(json, event);
    json.end('}');
    return json.finish();
}

// A call that nobody else makes, from a child: the driver does not record the calls of its reader.
void provoke_sentinel() {
    const pid_t child = fork();
    if (child == 0) {
        close(static_cast<int>(SENTINEL));
        _exit(0);
    }
    if (child > 0) {
        waitpid(child, nullptr, 0);
    }
}

bool is_sentinel(sinsp_evt& event) {
    if (std::string(event.get_name()) != "close") {
        return false;
    }
    for (uint32_t at = 0; at < event.get_num_params(); at++) {
        const auto* param = event.get_param(at);
        if (length_of(*param) == 8 && params::load<int64_t>(bytes_of(*param)) == SENTINEL) {
            return true;
        }
    }
    return false;
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

Counts capture(sinsp& inspector, sinsp_filter* filter, uint64_t most) {
    Counts counts;
    time_t give_up = 0;
    uint64_t flushed = 0;
    while (true) {
        if (asked_to_end && give_up == 0) {
            give_up = seconds() + SENTINEL_DEADLINE_SECONDS;
            provoke_sentinel();
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
        } else if (give_up != 0 && is_sentinel(*event)) {
            counts.complete = true;
            return counts;
        } else {
            counts.read++;
            if (filter == nullptr || filter->run(event)) {
                print(described(*event));
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

void print_end(sinsp& inspector, const Counts& counts) {
    scap_stats stats = {};
    inspector.get_capture_stats(&stats);
    Line json;
    json.begin('{').key("type").string("end");
    json.key("complete").boolean(counts.complete);
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
    try {
        open_module(inspector);
    } catch (const std::exception& error) {
        std::cerr << "sinsp-events: " << error.what()
                  << "; is the module loaded (cargo xtask kmod status), and does this library speak its API?\n";
        leave(SETUP_FAILED);
    }
    Line json;
    json.begin('{').key("type").string("start").key("library").string(LIBRARY_VERSION).key("pid").number(int64_t{getpid()}).end('}');
    print(json.finish());
    std::fflush(stdout);
    const Counts counts = capture(inspector, filter, options.most);
    print_end(inspector, counts);
    leave(counts.complete ? GOOD : INCOMPLETE);
}
