// SPDX-License-Identifier: Apache-2.0

using System.Reflection;
using System.Reflection.Emit;
using System.Runtime.CompilerServices;
using System.Text;
using Mooncake.Mesh.TestSupport;
using Mooncake.Mesh.Verbs.Interop;

namespace Mooncake.Mesh.Verbs.Tests.Interop;

/// <summary>
/// Every struct, enumerator and constant of the raw layer against the C header: a compiler judges sizes, offsets and
/// values. There is no list to forget: the rows come from the declarations.
/// </summary>
public sealed class NativeLayoutTests : IDisposable
{
    private const BindingFlags Fields =
        BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.DeclaredOnly;

    private const BindingFlags Constants =
        BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.DeclaredOnly;

    /// <summary>Structs declared up to a lock of the library's: the native one is longer.</summary>
    private static readonly HashSet<string> Prefixes = ["ibv_context", "ibv_cq", "ibv_qp"];

    /// <summary>What is no struct in C.</summary>
    private static readonly HashSet<string> Unions = ["ibv_gid"];

    /// <summary>Members of unions inside, as C reaches them.</summary>
    private static readonly Dictionary<string, string> Paths = new()
    {
        ["ibv_gid.subnet_prefix"] = "global.subnet_prefix",
        ["ibv_gid.interface_id"] = "global.interface_id",
        ["ibv_send_wr.remote_addr"] = "wr.rdma.remote_addr",
        ["ibv_send_wr.rkey"] = "wr.rdma.rkey",
        ["ibv_async_event.cq"] = "element.cq",
        ["ibv_async_event.qp"] = "element.qp",
        ["ibv_async_event.port_num"] = "element.port_num",
    };

    /// <summary>Error numbers by the name they have in errno.h.</summary>
    private static readonly Dictionary<string, string> Numbers = new()
    {
        [nameof(VerbsException.NotPermitted)] = "EPERM",
        [nameof(VerbsException.NoSuchFile)] = "ENOENT",
        [nameof(VerbsException.InputOutput)] = "EIO",
        [nameof(VerbsException.NoSuchAddress)] = "ENXIO",
        [nameof(VerbsException.Again)] = "EAGAIN",
        [nameof(VerbsException.NoMemory)] = "ENOMEM",
        [nameof(VerbsException.AccessDenied)] = "EACCES",
        [nameof(VerbsException.NoDevice)] = "ENODEV",
        [nameof(VerbsException.Invalid)] = "EINVAL",
        [nameof(VerbsException.Unreachable)] = "ENETUNREACH",
    };

    private static readonly Type[] Types =
        [.. typeof(IbverbsLibrary).Assembly.GetTypes().Where(type =>
            type.Namespace == typeof(IbverbsLibrary).Namespace && !type.IsNested)];

    private readonly NativeDouble _compiler = new();

    public void Dispose() => _compiler.Dispose();

    [Fact]
    public void The_compiler_agrees_on_every_struct_and_value()
    {
        string[] rows = [.. Types.SelectMany(Rows), .. NumberRows()];
        Assert.True(rows.Length > 200, $"only {rows.Length} rows");
        string? errors = _compiler.Check(Program(rows));
        Assert.True(errors is null, errors);
    }

    [Theory]
    [InlineData("sizeof(struct ibv_wc) == 47")]
    [InlineData("sizeof(struct ibv_no_such_thing) == 8")]
    public void A_wrong_row_fails_with_what_the_compiler_says(string claim) =>
        Assert.Contains("error: ", _compiler.Check(Program([Assertion(claim)])));

    [Fact]
    public void Every_exception_is_for_a_field_that_exists()
    {
        Assert.All(Prefixes.Concat(Unions), name => Assert.Contains(Types, type => type.Name == name));
        Assert.All(Paths.Keys, path => Assert.Contains(Types, type =>
            type.Name == path.Split('.')[0] && type.GetField(path.Split('.')[1], Fields) is not null));
    }

    [Fact]
    public void What_is_handed_over_in_place_has_the_native_layout()
    {
        Assert.Equal(Unsafe.SizeOf<ibv_wc>(), Unsafe.SizeOf<Verbs.Queues.WorkCompletion>());
        Assert.Equal(Unsafe.SizeOf<ibv_sge>(), Unsafe.SizeOf<Verbs.Queues.LocalPiece>());
    }

    private static string Program(IEnumerable<string> rows) =>
        new StringBuilder("#include <errno.h>\n#include <stddef.h>\n#include <infiniband/verbs.h>\n")
            .AppendJoin('\n', rows).Append('\n').ToString();

    private static IEnumerable<string> Rows(Type type) =>
        type.IsEnum ? ConstantRows(type) : type.IsValueType ? StructRows(type) : ConstantRows(type);

    private static IEnumerable<string> ConstantRows(Type type) =>
        from field in type.GetFields(Constants)
        where field.IsLiteral && field.FieldType != typeof(string)
        select Assertion($"{field.Name} == {Convert.ToInt64(field.GetRawConstantValue())}");

    private static IEnumerable<string> NumberRows() =>
        from field in typeof(VerbsException).GetFields(Constants)
        where field.IsLiteral
        select Assertion($"{Numbers[field.Name]} == {field.GetRawConstantValue()}");

    private static IEnumerable<string> StructRows(Type type)
    {
        string native = (Unions.Contains(type.Name) ? "union " : "struct ") + type.Name;
        string comparison = Prefixes.Contains(type.Name) ? ">" : "==";
        yield return Assertion($"sizeof({native}) {comparison} {SizeOf(type)}");
        foreach (FieldInfo field in type.GetFields(Fields))
        {
            string path = Paths.GetValueOrDefault($"{type.Name}.{field.Name}", field.Name);
            yield return Assertion($"offsetof({native}, {path}) == {OffsetOf(type, field)}");
            yield return Assertion($"sizeof((({native} *)0)->{path}) == {SizeOf(field.FieldType)}");
        }
    }

    private static string Assertion(string claim) => $"_Static_assert({claim}, \"{claim}\");";

    private static int SizeOf(Type type) =>
        type.IsPointer || type.IsFunctionPointer
            ? IntPtr.Size
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
}
