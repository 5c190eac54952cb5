// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Globalization;
using Mooncake.Mesh.Cuda.Interop;
using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Cuda.Tests;

/// <summary>Another process of this program, and what it does there: it shares a block, or maps one.</summary>
internal sealed class Child : IDisposable
{
    internal const string Mark = "--child";
    private readonly Process _process;

    private Child(Process process) => _process = process;

    /// <summary>Starts another process.</summary>
    /// <param name="library">The library it uses; empty: the host's.</param>
    /// <param name="role">What it does: "owner" or "mapper".</param>
    /// <param name="arguments">What that needs.</param>
    internal static Child Start(string library, string role, params string[] arguments)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!, [Mark, role, library, .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        return new Child(Process.Start(start)!);
    }

    /// <summary>The next line it writes; fails when there is none.</summary>
    internal string Line()
    {
        string? line = _process.StandardOutput.ReadLine();
        Assert.True(line is not null, "the other process has ended");
        return line;
    }

    /// <summary>Lets it go on.</summary>
    internal void Go() => _process.StandardInput.WriteLine();

    /// <summary>Ends it where it stands.</summary>
    internal void Kill()
    {
        _process.Kill();
        _process.WaitForExit();
    }

    public void Dispose()
    {
        Kill();
        _process.Dispose();
    }

    /// <summary>What the other process does.</summary>
    internal static void Run(string role, string[] arguments)
    {
        string library = arguments[0];
        CudaLibrary opened = (library.Length == 0 ? LibCuda.TryGet(out string? reason) : Load(library, out reason))
            ?? throw new InvalidOperationException(reason);
        using CudaMemory memory = CudaMemory.Open(opened, TimeProvider.System).Value;
        if (role == "owner")
            Own(memory, int.Parse(arguments[1], CultureInfo.InvariantCulture));
        else
            Map(memory, Convert.FromHexString(arguments[1]), int.Parse(arguments[2], CultureInfo.InvariantCulture));
    }

    private static CudaLibrary? Load(string path, out string? reason)
    {
        reason = LibCuda.Probe(path);
        return CudaLibrary.TryOpen(path, out _);
    }

    private static void Own(CudaMemory memory, int length)
    {
        using IDeviceBlock block = memory.Allocate("cuda:0", length).Value;
        for (int seed = 1; seed <= 2; seed++)
        {
            DeviceOutcome written = memory.Write(
                [block.All()], new GivenBytes(Bytes.Mixed(length, seed)), default, Bytes.Long);
            Console.WriteLine(written.End == DeviceEnd.Done ? Convert.ToHexString(block.Share().Value) : written.Error);
            Console.ReadLine();
        }
    }

    private static void Map(CudaMemory memory, byte[] handle, int length)
    {
        using IDeviceBlock block = memory.OpenShared("cuda:0", handle, length).Value;
        var sink = new TakenBytes(length);
        DeviceOutcome read = memory.Read([block.All()], sink, default, Bytes.Long);
        bool same = sink.Bytes.AsSpan().SequenceEqual(Bytes.Mixed(length));
        Console.WriteLine(read.End == DeviceEnd.Done ? same ? "same" : "not the same" : read.Error);
        Console.ReadLine();
    }
}
