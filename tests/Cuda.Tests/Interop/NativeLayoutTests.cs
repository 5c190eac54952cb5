// SPDX-License-Identifier: Apache-2.0

using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text;
using Mooncake.Mesh.Cuda.Interop;
using Mooncake.Mesh.TestSupport;

namespace Mooncake.Mesh.Cuda.Tests.Interop;

/// <summary>Structs and constants of the raw layer, against the toolkit's header where there is one.</summary>
public sealed class NativeLayoutTests
{
    private const BindingFlags Constants =
        BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.DeclaredOnly;

    private static readonly string[] Headers =
        ["/usr/local/cuda/include/cuda.h", "/usr/include/cuda.h", "/opt/cuda/include/cuda.h"];

    /// <summary>Length and the fields that do not lie at 0, as the driver's documentation says.</summary>
    private static readonly string[] Layout =
    [
        "sizeof(CUipcMemHandle) == 64", "sizeof(CUmemLocation) == 8", "sizeof(CUmemcpyAttributes) == 24",
        "offsetof(CUmemcpyAttributes, srcLocHint) == 4", "offsetof(CUmemcpyAttributes, dstLocHint) == 12",
        "offsetof(CUmemcpyAttributes, flags) == 20", "sizeof(CUdeviceptr) == 8",
    ];

    [Fact]
    public unsafe void Structs_have_the_length_that_is_documented()
    {
        Assert.Equal((64, 8, 24),
            (sizeof(CUipcMemHandle), sizeof(CUmemLocation), Unsafe.SizeOf<CUmemcpyAttributes>()));
        CUmemcpyAttributes attributes = default;
        Assert.Equal(4, (byte*)&attributes.srcLocHint - (byte*)&attributes);
        Assert.Equal(12, (byte*)&attributes.dstLocHint - (byte*)&attributes);
        Assert.Equal(20, (byte*)&attributes.flags - (byte*)&attributes);
    }

    [Fact]
    public void The_compiler_agrees_on_every_struct_and_value()
    {
        string? header = Array.Find(Headers, File.Exists);
        Assert.SkipWhen(header is null, "the CUDA toolkit is not installed: there is no cuda.h to compare with");
        string[] values =
        [
            .. typeof(CudaLibrary).Assembly.GetTypes().Where(type => type.Namespace == typeof(CudaLibrary).Namespace)
                .SelectMany(type => type.GetFields(Constants))
                .Where(constant => constant.IsLiteral && constant.Name.StartsWith("CU", StringComparison.Ordinal))
                .Select(constant => $"{constant.Name} == {Convert.ToInt64(constant.GetRawConstantValue())}"),
        ];
        Assert.InRange(values.Length, 15, int.MaxValue);
        using var compiler = new NativeDouble();
        string? errors = compiler.Check(new StringBuilder($"#include <stddef.h>\n#include \"{header}\"\n")
            .AppendJoin('\n', Layout.Concat(values).Select(claim => $"_Static_assert({claim}, \"{claim}\");"))
            .Append('\n').ToString());
        Assert.True(errors is null, errors);
    }
}
