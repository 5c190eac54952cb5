// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Tests.Transfer;
using Mooncake.Mesh.Transfer.Interop;
using Mooncake.Mesh.Transfer.Tcp;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Mesh;

namespace Mooncake.Mesh.Verbs.Tests.Transfers;

/// <summary>Another process of this program, and what it does there.</summary>
internal sealed partial class Child : IDisposable
{
    internal const string Mark = "--child";
    internal const int ValueBytes = 4 << 20;
    private const int Nobody = 65_534;
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(60);
    private readonly Process _process;

    private Child(Process process) => _process = process;

    /// <summary>Starts another process.</summary>
    internal static Child Start(params string[] arguments)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!, [Mark, .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        return new Child(Process.Start(start)!);
    }

    /// <summary>The next line it writes; fails when there is none.</summary>
    internal async Task<string> LineAsync()
    {
        string? line = await _process.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken).AsTask()
            .WaitAsync(Long, TestContext.Current.CancellationToken);
        Assert.True(line is not null, "the other process has ended");
        return line;
    }

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

    /// <summary>What the other process does, until it is killed or has nothing more to do.</summary>
    internal static async Task<int> RunAsync(string role, string[] arguments)
    {
        switch (role)
        {
            case "holder":
                await HoldAsync(arguments[0]);
                return 0;
            case "putter":
                await PutAsync(arguments[0]);
                return 0;
            case "refused":
                await MeetRefusalsAsync(int.Parse(arguments[0], CultureInfo.InvariantCulture));
                return 0;
            default:
                return 2;
        }
    }

    internal static MeshRuntime Runtime(LogLines log) => new()
    {
        Network = new SocketNetwork(),
        Log = log,
        Verbs = parts => RdmaTransport.OpenAsync(new RdmaOptions(), parts),
    };

    private static async Task HoldAsync(string endpoint)
    {
        string directory = System.IO.Directory.CreateTempSubdirectory("mesh-holder-").FullName;
        await using var node = await TransferWorld.StartNodeAsync(directory, Runtime(new LogLines()), 64 << 20,
            options => options with { Listen = endpoint, Transport = TransportChoice.Rdma });
        Console.WriteLine("ready");
        await UntilClosedAsync();
    }

    private static async Task PutAsync(string endpoint)
    {
        await using var client = new ClientPeer("default", [endpoint], null, Runtime(new LogLines()), "",
            transport: TransportChoice.Rdma);
        if (await client.ConnectAsync(Long, CancellationToken.None) is { } refused)
            throw new InvalidOperationException(refused.Message);
        using var source = new GuardedMemory(ValueBytes);
        var options = new PutOptions { Deadline = Long, Replace = true };
        for (int i = 0; ; i++)
        {
            var put = await client.Operations.PutAsync(new MeshKey($"p{i % 4}"), source.Range, options,
                CancellationToken.None);
            Console.WriteLine(put.Succeeded ? "put" : put.Error!.Message);
        }
    }

    /// <summary>Tells what a user meets who may not open the second device, and may not lock much memory.</summary>
    private static async Task MeetRefusalsAsync(int lockedBytes)
    {
        var limit = new Limit { Current = lockedBytes, Most = lockedBytes };
        if (setrlimit(LibC.RLIMIT_MEMLOCK, in limit) != 0 || setgid(Nobody) != 0 || setuid(Nobody) != 0)
            throw new InvalidOperationException($"errno {Marshal.GetLastPInvokeError()}");
        var log = new LogLines();
        var runtime = Runtime(log);
        var closed = RdmaEngine.Open(new RdmaOptions { Devices = ["rxe1"] }, runtime);
        Console.WriteLine(closed.Succeeded ? "opened" : closed.Error!.Message);
        var engine = RdmaEngine.Open(new RdmaOptions(), runtime);
        Console.WriteLine(engine.Succeeded ? string.Join(", ", engine.Value.Rails) : engine.Error!.Message);
        using var memory = new GuardedMemory(4L * lockedBytes);
        var registered = await engine.Value.RegisterAsync(memory.Range, MemoryAccess.RemoteRead);
        Console.WriteLine(registered.Succeeded ? "registered" : registered.Error!.Message);
        await engine.Value.DisposeAsync();
    }

    private static async Task UntilClosedAsync()
    {
        await using var input = Console.OpenStandardInput();
        while (await input.ReadAsync(new byte[1]) > 0)
        {
        }
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int setrlimit(int resource, in Limit limit);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int setgid(int group);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int setuid(int user);

    private struct Limit
    {
        public long Current;
        public long Most;
    }
}
