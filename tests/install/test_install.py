#!/usr/bin/env python3
"""The library as a stranger gets it: installed into a folder, found by pkg-config and by CMake, linked shared and static; what it shows and what it hides; the
examples built and run against it.

Usage: test_install.py BUILD_FOLDER MAKE_TINY [unittest arguments]     Python's standard library, a C and a C++ compiler, pkg-config and CMake."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
TIMEOUT = 120
BUILD = MAKE_TINY = ""
FOLDER = PREFIX = TINY = ""
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow", "-pedantic"]


def run(*words, environment=None, stdin="", folder=None):
    """Standard output; a failure shows both streams."""
    done = subprocess.run([str(word) for word in words], input=stdin, capture_output=True, text=True, timeout=TIMEOUT, cwd=folder,
                          env={**os.environ, **(environment or {})}, check=False)
    if done.returncode:
        raise AssertionError(f"{' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def set_up():
    global FOLDER, PREFIX, TINY
    FOLDER = tempfile.mkdtemp(prefix="sampan_install_")
    stage = os.path.join(FOLDER, "stage")
    run("cmake", "--install", BUILD, "--prefix", "/opt/sampan", environment={"DESTDIR": stage})
    PREFIX = os.path.join(FOLDER, "moved")  # nothing may remember where it was installed first
    os.rename(os.path.join(stage, "opt/sampan"), PREFIX)
    TINY = os.path.join(FOLDER, "tiny.gguf")
    run(MAKE_TINY, TINY)


def library_folder():
    return os.path.dirname(next(pathlib.Path(PREFIX).glob("lib*/**/libsampan.a")))


def pkg_config(*words):
    return run("pkg-config", *words, "sampan", environment={"PKG_CONFIG_PATH": os.path.join(library_folder(), "pkgconfig")}).split()


def loading():
    return {"LD_LIBRARY_PATH": library_folder()}


def functions_of_header():
    text = re.sub(r"/\*.*?\*/", " ", (ROOT / "include/sampan.h").read_text(encoding="utf-8"), flags=re.S)
    text = re.sub(r"^#.*$", " ", text, flags=re.M)
    return sorted(re.findall(r"SAMPAN_API\s+[^;{]*?(\w+)\(", text))


def write(name, text):
    path = os.path.join(FOLDER, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


class Interface(unittest.TestCase):
    def test_the_binary_interface_is_as_committed(self):
        run(sys.executable, "-B", ROOT / "tests/install/abi.py", "--self-test")
        run(sys.executable, "-B", ROOT / "tests/install/abi.py", "--check")

    def test_both_libraries_show_the_headers_functions_and_nothing_else(self):
        expected = functions_of_header()
        self.assertGreater(len(expected), 20)
        for library, flags in (("libsampan.so", ["-D"]), ("libsampan.a", ["-g"])):
            out = run("nm", *flags, "--defined-only", "--format=posix", os.path.join(library_folder(), library))
            names = sorted(line.split()[0] for line in out.split("\n") if len(line.split()) > 2)
            self.assertEqual(names, expected, library)

    def test_the_shared_library_says_its_name_and_version(self):
        version = re.search(r"project\(sampan VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")).group(1)
        dynamic = run("readelf", "-d", os.path.join(library_folder(), "libsampan.so"))
        self.assertIn("Library soname: [libsampan.so.0]", dynamic)
        self.assertTrue(os.path.realpath(os.path.join(library_folder(), "libsampan.so")).endswith(f"libsampan.so.0.{version}"))
        self.assertEqual(run("pkg-config", "--modversion", "sampan", environment={"PKG_CONFIG_PATH": library_folder() + "/pkgconfig"}).strip(), version)

    def test_the_headers_compile_alone_as_c_and_as_cpp(self):
        for compiler, standard, suffix in (("cc", "c99", "c"), ("cc", "c17", "c"), ("c++", "c++11", "cc"), ("c++", "c++20", "cc")):
            for header in ("sampan.h", "sampan_errors.h"):
                source = write(f"alone.{suffix}", f"#include <{header}>\n#include <{header}>\nint main() {{ return 0; }}\n".replace("main()", "main(void)"))
                run(compiler, f"-std={standard}", *WARNINGS, "-I", os.path.join(PREFIX, "include"), "-c", source, "-o", os.path.join(FOLDER, "alone.o"))

    def test_a_cpp_program_links_and_runs(self):
        source = write("version.cc", '#include <sampan.h>\n#include <cstdio>\nint main() { sampan_model *model = nullptr;\n'
                       'int code = sampan_model_open("/nowhere", &model); std::puts(sampan_error_message()); return code == SAMPAN_ENOTFOUND ? 0 : 1; }\n')
        program = os.path.join(FOLDER, "version")
        run("c++", source, "-o", program, *pkg_config("--cflags", "--libs"))
        self.assertIn("/nowhere", run(program, environment=loading()))

    def test_no_name_of_ours_meets_a_strangers_in_the_static_library(self):
        """A program that defines names which the library uses inside."""
        ours = run("nm", "--defined-only", "--format=posix", os.path.join(BUILD, "libsampan_core.a"))
        inside = {line.split()[0] for line in ours.split("\n") if re.match(r"[a-z]\w+ T ", line)} - set(functions_of_header())
        self.assertGreater(len(inside), 300)
        definitions = "".join(f"int {name}(void);\nint {name}(void) {{ return 7; }}\n" for name in sorted(inside))
        source = write("clash.c", "#include <stdio.h>\n#include <sampan.h>\n" + definitions +
                       "int main(int argc, char **argv) { sampan_model *model; (void)argc;\n"
                       "if (sampan_model_open(argv[1], &model)) { puts(sampan_error_message()); return 1; }\nsampan_model_close(model); return 0; }\n")
        program = os.path.join(FOLDER, "clash")
        run("cc", "-w", source, *pkg_config("--cflags"), os.path.join(library_folder(), "libsampan.a"), "-o", program,
            *[word for word in pkg_config("--libs", "--static") if word != "-lsampan"])
        run(program, TINY)


class Program(unittest.TestCase):
    def test_the_program_is_there_with_pages_and_completions(self):
        program = os.path.join(PREFIX, "bin/sampan")
        names = re.findall(r"^  ([a-z]\S*) ", run(program, "--help").split("Commands:")[1].split("\nsampan COMMAND")[0], re.M)
        self.assertGreater(len(names), 5)
        pages = sorted(os.listdir(os.path.join(PREFIX, "share/man/man1")))
        self.assertEqual(pages, sorted(["sampan.1"] + [f"sampan-{name}.1" for name in names]))
        for shell, path in (("bash", "bash-completion/completions/sampan"), ("zsh", "zsh/site-functions/_sampan"), ("fish", "fish/vendor_completions.d/sampan.fish")):
            with open(os.path.join(PREFIX, "share", path), encoding="utf-8") as file:
                self.assertEqual(file.read(), run(program, "completion", shell))

    def test_it_answers_from_where_it_is(self):
        self.assertTrue(run(os.path.join(PREFIX, "bin/sampan"), "run", TINY, "--prompt", "hello", "--max-tokens", "4"))


class Examples(unittest.TestCase):
    def check(self, folder, environment=None):
        """The two programs say what they should."""
        generate, event_loop = os.path.join(folder, "generate"), os.path.join(folder, "event_loop")
        first = run(generate, TINY, 'Say "hello",\nplease\\', environment=environment)
        self.assertEqual(first, run(generate, TINY, 'Say "hello",\nplease\\', environment=environment))
        self.assertGreater(len(first), 1)
        lines = "".join(f"line {i} of the input\n" for i in range(100))
        answers = {}
        for line in run(event_loop, TINY, environment=environment, stdin=lines + "the last, without an end").split("\n"):
            number = re.match(r"(\d+): ", line)
            if number:
                answers[int(number.group(1))] = line
        self.assertEqual(sorted(answers), list(range(1, 102)))
        alone = run(event_loop, TINY, environment=environment, stdin="line 0 of the input\n")
        self.assertEqual(alone.split("\n")[0], answers[1])  # what else runs changes nothing

    def test_pkg_config_finds_the_shared_library(self):
        folder = os.path.join(FOLDER, "by_pkg_config")
        shutil.copytree(EXAMPLES, folder)
        run("make", "-C", folder, "CFLAGS=-O1 " + " ".join(WARNINGS), environment={"PKG_CONFIG_PATH": os.path.join(library_folder(), "pkgconfig")})
        self.assertIn("libsampan.so.0", run("readelf", "-d", os.path.join(folder, "generate")))
        self.check(folder, loading())

    def test_pkg_config_finds_the_static_library(self):
        folder = os.path.join(FOLDER, "static")
        shutil.copytree(EXAMPLES, folder)
        run("make", "-C", folder, "STATIC=1", environment={"PKG_CONFIG_PATH": os.path.join(library_folder(), "pkgconfig")})
        self.assertNotIn("libsampan", run("readelf", "-d", os.path.join(folder, "generate")))
        self.check(folder)

    def test_cmake_finds_it(self):
        folder = os.path.join(FOLDER, "by_cmake")
        run("cmake", "-G", "Ninja", "-S", EXAMPLES, "-B", folder, f"-DCMAKE_PREFIX_PATH={PREFIX}")
        run("cmake", "--build", folder)
        self.check(folder)  # CMake's own run path finds the library

    def test_the_static_target_of_cmake_links(self):
        folder = os.path.join(FOLDER, "cmake_static")
        os.mkdir(folder)
        write("cmake_static/CMakeLists.txt", "cmake_minimum_required(VERSION 3.16)\nproject(other LANGUAGES C)\nfind_package(sampan 0.1 REQUIRED)\n"
              f"add_executable(generate {EXAMPLES}/generate.c)\ntarget_link_libraries(generate PRIVATE sampan::static)\n")
        run("cmake", "-G", "Ninja", "-S", folder, "-B", folder, f"-DCMAKE_PREFIX_PATH={PREFIX}")
        run("cmake", "--build", folder)
        self.assertNotIn("libsampan", run("readelf", "-d", os.path.join(folder, "generate")))
        run(os.path.join(folder, "generate"), TINY, "hello")

    def test_wrong_calls_are_told(self):
        folder = os.path.join(FOLDER, "wrong")
        shutil.copytree(EXAMPLES, folder)
        run("make", "-C", folder, environment={"PKG_CONFIG_PATH": os.path.join(library_folder(), "pkgconfig")})
        for program, words in (("generate", ["/nowhere", "x"]), ("event_loop", ["/nowhere"])):
            done = subprocess.run([os.path.join(folder, program), *words], capture_output=True, text=True, timeout=TIMEOUT, env={**os.environ, **loading()},
                                  stdin=subprocess.DEVNULL, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("/nowhere", done.stderr)


if __name__ == "__main__":
    BUILD, MAKE_TINY = sys.argv[1:3]
    set_up()
    try:
        unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
    finally:
        shutil.rmtree(FOLDER)
