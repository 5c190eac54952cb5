// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;
using Mooncake.Mesh.Transfer.Interop;

namespace Mooncake.Mesh.Tests.Transfer;

/// <summary>Constants and structures of the transports' <see cref="LibC"/> are those of the C headers here.</summary>
public sealed class LibCLayoutTests
{
    private static readonly Dictionary<Type, string> Structures = new()
    {
        [typeof(timeval)] = "struct timeval",
        [typeof(ucred)] = "struct ucred",
        [typeof(pollfd)] = "struct pollfd",
        [typeof(rlimit)] = "struct rlimit",
        [typeof(iovec)] = "struct iovec",
        [typeof(msghdr)] = "struct msghdr",
        [typeof(cmsghdr)] = "struct cmsghdr",
        [typeof(timespec)] = "struct timespec",
    };

    [Fact]
    public void Every_structure_is_checked() => Assert.Equal(
        typeof(LibC).Assembly.GetTypes().Where(t => t.Namespace == typeof(LibC).Namespace && t.IsValueType)
            .Where(t => !t.IsNested).ToHashSet(),
        Structures.Keys.ToHashSet());

    [Fact]
    public void Constants_and_layouts_are_those_of_the_C_headers()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/gcc"), "there is no gcc to ask");
        var program = new StringBuilder("""
            #define _GNU_SOURCE
            #include <errno.h>
            #include <fcntl.h>
            #include <linux/futex.h>
            #include <poll.h>
            #include <stddef.h>
            #include <sys/eventfd.h>
            #include <sys/resource.h>
            #include <sys/socket.h>
            #include <sys/syscall.h>
            #include <sys/time.h>
            #include <sys/uio.h>

            """);
        foreach (FieldInfo field in typeof(LibC).GetFields(BindingFlags.Public | BindingFlags.Static))
            program.Append($"_Static_assert((long){field.Name} == {field.GetRawConstantValue()}, \"{field.Name}\");\n");
        foreach (var (type, native) in Structures)
        {
            program.Append($"_Static_assert(sizeof({native}) == {Marshal.SizeOf(type)}, \"{native}\");\n");
            foreach (FieldInfo field in type.GetFields(BindingFlags.Public | BindingFlags.Instance))
            {
                program.Append($"_Static_assert(offsetof({native}, {field.Name}) == "
                    + $"{Marshal.OffsetOf(type, field.Name)}, \"{native}.{field.Name}\");\n");
            }
        }

        Assert.Equal("", Compile(program.ToString()));
    }

    private static string Compile(string program)
    {
        using Process gcc = Process.Start(new ProcessStartInfo("/usr/bin/gcc", "-x c -fsyntax-only -")
        {
            RedirectStandardInput = true,
            RedirectStandardError = true,
        })!;
        gcc.StandardInput.Write(program);
        gcc.StandardInput.Close();
        string complaints = gcc.StandardError.ReadToEnd();
        gcc.WaitForExit();
        return complaints;
    }
}
