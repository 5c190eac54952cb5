// SPDX-License-Identifier: Apache-2.0

using System.Reflection;
using System.Reflection.Emit;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Mooncake.Mesh.Exports.Engine;
using Mooncake.Mesh.Exports.Guest;
using Mooncake.Mesh.Exports.Native;
using Mooncake.Mesh.Exports.Store;
using Mooncake.Mesh.Transfer.Engine;

namespace Mooncake.Mesh.Native.Tests;

/// <summary>The headers against compilers, against what the library exports, and against the structs in C#.</summary>
[Collection(nameof(NativeMesh))]
public sealed partial class HeaderTests(NativeMesh mesh)
{
    private const BindingFlags Fields =
        BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.DeclaredOnly;

    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(1);
    private static readonly string[] Headers = ["mooncake_mesh", "store_c", "transfer_engine_c"];

    /// <summary>Structs in C, with their structs in C# and, where they differ, the fields' names in C.</summary>
    private static readonly (string Native, Type Type, string[] Names)[] Structs =
    [
        ("struct mooncake_mesh_put_options", typeof(mooncake_mesh_put_options), []),
        ("struct mooncake_mesh_get_options", typeof(mooncake_mesh_get_options), []),
        ("struct mooncake_replicate_config", typeof(mooncake_replicate_config), []),
        ("struct notify_msg", typeof(notify_msg), []),
        ("struct nic_load_stat", typeof(nic_load_stat), []),
        ("struct transfer_request", typeof(TransferRequest),
            ["opcode", "source", "target_id", "target_offset", "length"]),
        ("struct transfer_status", typeof(TransferStatus), ["status", "transferred_bytes"]),
        ("struct buffer_entry", typeof(BufferEntry), ["addr", "length"]),
    ];

    /// <summary>Codes of the header that have another name in C#.</summary>
    private static readonly Dictionary<string, string> CodeNames = new()
    {
        ["NoAvailableHandle"] = "NO_SPACE",
        ["ObjectNotFound"] = "NOT_FOUND",
        ["EtcdOperationError"] = "ETCD_ERROR",
        ["UnavailableInCurrentStatus"] = "UNAVAILABLE",
    };

    [Theory]
    [InlineData("gcc", "-std=c11", "c")]
    [InlineData("g++", "-std=c++17", "c++")]
    public void Each_header_stands_alone(string compiler, string standard, string language)
    {
        foreach (string header in Headers)
            Compile($"#include <{header}.h>\nint main(void) {{ return 0; }}\n", compiler, standard, language);
        Compile(string.Concat(Headers.Concat(Headers).Select(h => $"#include <{h}.h>\n")), compiler, standard,
            language);
    }

    [Fact]
    public void The_library_exports_what_the_headers_declare_and_nothing_else()
    {
        string[] declared = [.. Headers.SelectMany(h => Function().Matches(Comment().Replace(
            File.ReadAllText(Path.Combine(mesh.Clib.Include, h + ".h")), ""))).Select(m => m.Groups[1].Value).Order()];
        var symbols = Command.Run(Limit, "nm", "-D", "--defined-only", mesh.Clib.Library);
        string[] exported = [.. symbols.Standard.Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(line => line.Split(' ')).Where(parts => parts[1] == "T")
            .Select(parts => parts[2].Split('@')[0]).Order()];
        Assert.Equal(declared, exported);
        Assert.True(declared.Length > 70);
    }

    [Fact]
    public void Old_systems_can_load_it_and_nothing_unloads_it()
    {
        string dynamic = Command.Run(Limit, "objdump", "-p", mesh.Clib.Library).Standard;
        string[] needed = [.. Needed().Matches(dynamic).Select(m => m.Groups[1].Value)];
        Assert.Empty(needed.Except(["libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"]));
        Assert.Contains("libmooncake_mesh.so.0", dynamic);
        Assert.Contains("NODELETE", Command.Run(Limit, "readelf", "-d", mesh.Clib.Library).Standard);
        var versions = Glibc().Matches(Command.Run(Limit, "objdump", "-T", mesh.Clib.Library).Standard)
            .Select(m => Version.Parse(m.Groups[1].Value));
        Assert.True(versions.Max() <= new Version(2, 34), $"needs glibc {versions.Max()}");
    }

    [Fact]
    public void A_compiler_agrees_on_every_struct()
    {
        IEnumerable<string> rows = Structs.SelectMany(s => RowsOf(s.Native, s.Type, s.Names));
        Compile("#include <stddef.h>\n" + string.Concat(Headers.Select(h => $"#include <{h}.h>\n"))
            + string.Join('\n', rows) + "\n", "gcc", "-std=c11", "c");
    }

    [Fact]
    public void A_compiler_agrees_on_every_number()
    {
        var codes = typeof(ErrorCodes).GetFields(BindingFlags.Public | BindingFlags.Static)
            .Where(f => f.IsLiteral).Select(f => (Name: "MOONCAKE_MESH_" + (CodeNames.GetValueOrDefault(f.Name)
                ?? Capital().Replace(f.Name, "_$0").TrimStart('_').ToUpperInvariant()),
                Value: f.GetRawConstantValue()));
        var states = Enum.GetValues<TransferState>()
            .Select(s => (Name: "STATUS_" + s.ToString().ToUpperInvariant(), Value: (object?)(int)s));
        var opcodes = Enum.GetValues<TransferOpcode>()
            .Select(s => (Name: "OPCODE_" + s.ToString().ToUpperInvariant(), Value: (object?)(int)s));
        Compile(string.Concat(Headers.Select(h => $"#include <{h}.h>\n")) + string.Join('\n',
            codes.Concat(states).Concat(opcodes).Select(n => Assertion($"{n.Name} == {n.Value}"))) + "\n",
            "gcc", "-std=c11", "c");
    }

    [Theory]
    [InlineData("mooncake_mesh")]
    [InlineData("mooncake_store")]
    [InlineData("transfer_engine")]
    public void The_names_that_programs_link_lead_to_the_library(string name)
    {
        string lib = Path.Combine(mesh.Clib.Root, "lib");
        Assert.Equal("libmooncake_mesh.so.0", new FileInfo(Path.Combine(lib, $"lib{name}.so")).LinkTarget);
        string config = File.ReadAllText(Path.Combine(lib, "pkgconfig", $"{name}.pc"));
        Assert.Contains($"-l{name}", config);
        Assert.Contains("includedir=${prefix}/include", config);
    }

    private void Compile(string program, string compiler, string standard, string language)
    {
        string file = Path.Combine(mesh.Clib.Folder, "header-test." + (language == "c" ? "c" : "cc"));
        File.WriteAllText(file, program);
        var ended = Command.Run(Limit, compiler, standard, "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
            "-I", mesh.Clib.Include, file);
        Assert.True(ended.Code == 0, ended.Output);
    }

    private static IEnumerable<string> RowsOf(string native, Type type, string[] names)
    {
        yield return Assertion($"sizeof({native}) == {SizeOf(type)}");
        FieldInfo[] fields = type.GetFields(Fields);
        for (int i = 0; i < fields.Length; i++)
        {
            string name = names.Length > 0 ? names[i] : fields[i].Name;
            yield return Assertion($"offsetof({native}, {name}) == {OffsetOf(type, fields[i])}");
            yield return Assertion($"sizeof((({native} *)0)->{name}) == {SizeOf(fields[i].FieldType)}");
        }
    }

    private static string Assertion(string claim) => $"_Static_assert({claim}, \"{claim}\");";

    private static int SizeOf(Type type) =>
        type.IsPointer ? IntPtr.Size
        : (int)typeof(Unsafe).GetMethod(nameof(Unsafe.SizeOf))!.MakeGenericMethod(type).Invoke(null, null)!;

    /// <summary>Where the runtime, and not the marshaller, puts a field.</summary>
    private static int OffsetOf(Type type, FieldInfo field)
    {
        var method = new DynamicMethod("OffsetOf", typeof(int), null, type.Module, skipVisibility: true);
        ILGenerator code = method.GetILGenerator();
        LocalBuilder value = code.DeclareLocal(type);
        code.Emit(OpCodes.Ldloca, value);
        code.Emit(OpCodes.Ldflda, field);
        code.Emit(OpCodes.Conv_U);
        code.Emit(OpCodes.Ldloca, value);
        code.Emit(OpCodes.Conv_U);
        code.Emit(OpCodes.Sub);
        code.Emit(OpCodes.Conv_I4);
        code.Emit(OpCodes.Ret);
        return (int)method.Invoke(null, null)!;
    }

    [GeneratedRegex(@"^\w[\w \t*]*?\b(\w+)\(", RegexOptions.Multiline)]
    private static partial Regex Function();

    [GeneratedRegex(@"/\*.*?\*/|^\s*#.*?$", RegexOptions.Singleline | RegexOptions.Multiline)]
    private static partial Regex Comment();

    [GeneratedRegex(@"NEEDED\s+(\S+)")]
    private static partial Regex Needed();

    [GeneratedRegex(@"GLIBC_(2\.\d+)")]
    private static partial Regex Glibc();

    [GeneratedRegex("[A-Z]")]
    private static partial Regex Capital();
}
