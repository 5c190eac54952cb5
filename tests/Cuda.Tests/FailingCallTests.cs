// SPDX-License-Identifier: Apache-2.0

using System.Reflection;
using System.Text.RegularExpressions;
using Mooncake.Mesh.Cuda.Copies;
using Mooncake.Mesh.Cuda.Interop;
using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Cuda.Tests;

/// <summary>
/// Each call of the driver fails, the first time that it is made, the second, and so on: each failure is named, and
/// leaves nothing behind.
/// </summary>
public sealed class FailingCallTests
{
    private const int Code = 999;
    private const int MostTimes = 4;

    /// <summary>What ends something: that a driver refuses it is counted, and what it was to end stays.</summary>
    private static readonly Dictionary<string, string> Endings = new()
    {
        ["cuMemFree_v2"] = "b1",
        ["cuIpcCloseMemHandle"] = "i1",
        ["cuMemFreeHost"] = "h1",
        ["cuStreamDestroy_v2"] = "s1",
        ["cuEventDestroy_v2"] = "e1",
        ["cuModuleUnload"] = "m1",
        ["cuDevicePrimaryCtxRelease_v2"] = "c1",
        ["cuCtxPopCurrent_v2"] = "d1",
    };

    /// <summary>What can do without: of no consequence, or done in another way.</summary>
    private static readonly string[] Dispensable =
    [
        "cuDriverGetVersion", "cuDeviceGetPCIBusId", "cuDeviceGetAttribute", "cuDeviceCanAccessPeer",
        "cuCtxEnablePeerAccess", "cuModuleLoadData", "cuModuleGetFunction",
    ];

    public static TheoryData<string> Calls => [.. typeof(CudaLibrary)
        .GetFields(BindingFlags.Instance | BindingFlags.NonPublic)
        .Select(call => call.Name)
        .Where(name => name.StartsWith("cu", StringComparison.Ordinal))
        // These are made while the library is looked for, and when another has failed.
        .Except(["cuInit", "cuGetErrorName"])];

    [Theory]
    [MemberData(nameof(Calls))]
    public void A_failing_call_is_named_and_leaves_nothing(string call)
    {
        bool wasMade = false;
        foreach (string definitions in new[] { "OWN_IPC", "OWN_IPC NO_BATCH" })
        {
            for (int nth = 1; nth <= MostTimes; nth++)
            {
                using var cuda = new CudaDouble(definitions);
                string[] errors = Use(cuda, call, nth, out long made);
                if (made < nth)
                    break;
                wasMade = true;
                Check(call, nth, cuda, errors);
            }
        }

        Assert.True(wasMade, $"{call} is never made");
    }

    [Fact]
    public void Without_a_failure_there_is_no_error()
    {
        foreach (string definitions in new[] { "OWN_IPC", "OWN_IPC NO_BATCH", "OWN_IPC NO_BATCH NO_KERNEL" })
        {
            using var cuda = new CudaDouble(definitions);
            Assert.Empty(Use(cuda, "cuInit", 1, out _));
            Assert.Equal("", cuda.Left);
        }
    }

    [Theory]
    [InlineData(700, "CUDA_ERROR_ILLEGAL_ADDRESS (700)")]
    [InlineData(719, "result 719")]
    public void A_context_that_breaks_under_a_copy_costs_the_device(int code, string name)
    {
        using var cuda = new CudaDouble();
        var memory = cuda.Open();
        var block = memory.Block(1 << 20);
        cuda.Break(0, code);
        var outcome = memory.Read([block.All()], new TakenBytes(1 << 20), default, Bytes.Long);
        Bytes.Is(DeviceEnd.Failed, outcome);
        // The first call after it tells, whichever it is.
        Assert.Matches($@"^cuda:0: cu\w+: {Regex.Escape(name)}$", outcome.Error!.Message);
        Assert.Equal($"cuda:0 has failed: cuStreamQuery: {name}; it counts as lost and is not called again",
            memory.UsageOf("cuda:0").Error!.Message);
        long calls = cuda.AllCalls;
        block.Dispose();
        memory.Dispose();
        Assert.Equal(calls, cuda.AllCalls);
    }

    [Fact]
    public void A_number_without_a_name_is_said_as_it_is()
    {
        using var cuda = new CudaDouble();
        using var memory = cuda.Open();
        cuda.Fail("cuMemAlloc_v2", 0, Code);
        cuda.Fail("cuGetErrorName", 0, Code);
        Assert.Equal("cuda:0: cuMemAlloc_v2: result 999", memory.Allocate("cuda:0", 1).Error?.Message);
    }

    private static void Check(string call, int nth, CudaDouble cuda, string[] errors)
    {
        string what = $"{call}, time {nth}: {string.Join(" | ", errors)}; left: {cuda.Left}";
        if (Endings.TryGetValue(call, out string? left))
        {
            Assert.True(errors.Length == 0, what);
            Assert.True(cuda.Left == left, what);
            return;
        }

        if (Dispensable.Contains(call))
        {
            Assert.True(errors.All(error =>
                error.Contains("exports no dma-buf") || error.Contains("cannot flush")), what);
            Assert.True(cuda.Left.Length == 0, what);
            return;
        }

        Assert.All(errors, error => Assert.Contains($"{call}: CUDA_ERROR_UNKNOWN (999)", error));
        bool isLost = errors.Any(error => error.EndsWith("it counts as lost and is not called again"));
        // To end something a context is entered, too.
        bool isEnding = call == "cuCtxPushCurrent_v2" && errors.Length == 0;
        Assert.True(errors.Length > 0 || isEnding, what);
        Assert.True(cuda.Left.Length == 0 || isLost || isEnding, what);
    }

    /// <summary>Does everything once while a call fails, and tells what was refused.</summary>
    private static string[] Use(CudaDouble cuda, string call, int nth, out long made)
    {
        using var stream = cuda.Stream(0);
        long before = cuda.Calls(call);
        cuda.Fail(call, nth, Code);
        string[] errors = [.. Use(cuda, new DeviceOrder(stream.Native))];
        made = cuda.Calls(call) - before;
        cuda.Fail(call, 0, 0);
        return errors;
    }

    private static IEnumerable<string> Use(CudaDouble cuda, DeviceOrder order)
    {
        MeshResult<CudaMemory> opened = CudaMemory.Open(cuda.Library, TimeProvider.System);
        if (opened.Error is { } none)
            return [none.Message];
        var errors = new List<MeshError?>();
        using (CudaMemory memory = opened.Value)
        {
            _ = memory.Driver;
            MeshResult<IDeviceBlock> first = memory.Allocate("cuda:0", 4 << 20);
            MeshResult<IDeviceBlock> second = memory.Allocate("cuda:1", 1 << 20);
            errors.AddRange([first.Error, second.Error]);
            if (first.Succeeded && second.Succeeded)
                errors.AddRange(Use(memory, first.Value, second.Value, order));
            if (first.Succeeded)
                first.Value.Dispose();
            if (second.Succeeded)
                second.Value.Dispose();
        }

        return errors.Where(error => error is not null).Select(error => error!.Message);
    }

    private static List<MeshError?> Use(
        CudaMemory memory, IDeviceBlock first, IDeviceBlock second, DeviceOrder order)
    {
        var errors = new List<MeshError?> { memory.UsageOf("cuda:0").Error };
        const int Length = (3 * CopyLane.SlotBytes) + 5;
        DeviceRange[] pages = [.. Enumerable.Range(0, 30).Select(i => new DeviceRange(first.Address + (i * 99), 50))];
        var whole = new DeviceRange(first.Address, Length);
        errors.Add(memory.Write([whole], new GivenBytes(new byte[Length]), default, Bytes.Long).Error);
        errors.Add(memory.Read([whole], new TakenBytes(Length), default, Bytes.Long).Error);
        errors.Add(memory.Write(pages, new GivenBytes(new byte[30 * 50]), default, Bytes.Long).Error);
        errors.Add(memory.Read(pages, new TakenBytes(30 * 50), default, Bytes.Long).Error);
        errors.Add(memory.Read([whole], new TakenBytes(Length, stopAt: 1), default, Bytes.Long).Error);
        errors.Add(memory.Copy(new DeviceRange(first.Address, 100), first.Address + 100, default, Bytes.Long).Error);
        errors.Add(memory.Copy(new DeviceRange(first.Address, 100), second.Address, default, Bytes.Long).Error);
        errors.Add(memory.Read([whole], new TakenBytes(Length), order, Bytes.Long).Error);
        errors.Add(memory.FlushWrites("cuda:0"));
        errors.Add(memory.Await("cuda:0", order, Bytes.Long).Error);
        errors.Add(memory.Await(null, new DeviceOrder(DeviceOrder.DefaultStream), Bytes.Long).Error);
        MeshResult<byte[]> handle = first.Share();
        MeshResult<int> descriptor = memory.ExportDmaBuf(new DeviceRange(first.Address, 4096));
        errors.AddRange([handle.Error, descriptor.Error]);
        if (descriptor.Succeeded)
            new Microsoft.Win32.SafeHandles.SafeFileHandle(descriptor.Value, ownsHandle: true).Dispose();
        if (handle.Succeeded)
        {
            MeshResult<IDeviceBlock> mapped = memory.OpenShared("cuda:0", handle.Value, 4 << 20);
            errors.Add(mapped.Error);
            if (mapped.Succeeded)
                mapped.Value.Dispose();
        }

        return errors;
    }
}
