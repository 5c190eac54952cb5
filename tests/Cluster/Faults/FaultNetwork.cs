// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;

namespace Mooncake.Mesh.Cluster.Faults;

/// <summary>What becomes of the frames from one port to another.</summary>
/// <param name="Cut">None arrives; nothing is told.</param>
/// <param name="Loss">Share of them that is lost, 0 to 1.</param>
/// <param name="Delay">How long each takes.</param>
internal sealed record LinkFault(bool Cut = false, double Loss = 0, TimeSpan Delay = default)
{
    public static LinkFault None { get; } = new();
}

/// <summary>One host of a network: a namespace of its own, or that of the test itself.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Number">Its place in the network.</param>
/// <param name="Space">Its namespace; empty: the test's.</param>
/// <param name="Address">Its IP address.</param>
internal sealed record NetworkHost(string Name, int Number, string Space, string Address)
{
    /// <summary>What starts a program there: it and its arguments follow. The host has a boot id of its own.</summary>
    public string[] Starter { get; init; } = [];
}

/// <summary>
/// Hosts, each in a network namespace, on a switch in this process: an ethernet card of each is a tap device, and every
/// frame goes through here, where it can be lost, delayed or cut off, for each pair of hosts and each direction by
/// itself. Needs root and /dev/net/tun, but nothing of the kernel's traffic control. Gone at dispose.
/// </summary>
internal sealed class FaultNetwork : IAsyncDisposable
{
    /// <summary>The host of the test itself.</summary>
    public const string Here = "here";

    private const int FrameBytes = 65_536;
    private const int AddressAt = 5;
    private static int _made;
    private readonly string _directory = System.IO.Directory.CreateTempSubdirectory("mesh-net-").FullName;
    private readonly List<NetworkHost> _hosts = [];
    private readonly List<TapDevice> _taps = [];
    private readonly List<Thread> _threads = [];
    private readonly PriorityQueue<(int To, byte[] Frame), long> _delayed = new();
    private LinkFault[,] _faults = new LinkFault[0, 0];
    private volatile bool _stopped;

    /// <summary>One host for each name, besides <see cref="Here"/>; skips the test where that cannot be.</summary>
    public static async Task<FaultNetwork> StartAsync(params string[] names)
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "network namespaces are made by root alone");
        Assert.SkipUnless(File.Exists(TapDevice.Path), $"there is no {TapDevice.Path}");
        var network = new FaultNetwork();
        try
        {
            int net = Interlocked.Increment(ref _made);
            await network.AddAsync(Here, "", $"10.{90 + net}.{Environment.ProcessId % 250}");
            foreach (string name in names)
            {
                await network.AddAsync(name, $"mesh-net-{Environment.ProcessId}-{net}-{name}",
                    $"10.{90 + net}.{Environment.ProcessId % 250}");
            }

            network.Run();
            return network;
        }
        catch
        {
            await network.DisposeAsync();
            throw;
        }
    }

    public NetworkHost Host(string name) => _hosts.Single(h => h.Name == name);

    /// <summary>Sets what becomes of frames between two hosts, both ways.</summary>
    public void Set(string one, string other, LinkFault fault)
    {
        SetOneWay(one, other, fault);
        SetOneWay(other, one, fault);
    }

    /// <summary>Sets what becomes of frames from one host to another.</summary>
    public void SetOneWay(string from, string to, LinkFault fault) =>
        Volatile.Write(ref _faults[Host(from).Number, Host(to).Number], fault);

    /// <summary>The same between a host and all others, but not the test's own.</summary>
    public void SetAll(string name, LinkFault fault)
    {
        foreach (var other in _hosts.Where(h => h.Name != name && h.Name != Here))
            Set(name, other.Name, fault);
    }

    public async ValueTask DisposeAsync()
    {
        _stopped = true;
        lock (_delayed)
            Monitor.PulseAll(_delayed);
        foreach (var thread in _threads)
            thread.Join();
        foreach (var tap in _taps)
            tap.Dispose();
        foreach (var host in _hosts.Where(h => h.Space.Length > 0))
        {
            var (_, pids, _) = await HostCommand.RunAsync("ip", "netns", "pids", host.Space);
            foreach (string pid in pids.Split('\n', StringSplitOptions.RemoveEmptyEntries))
                await HostCommand.RunAsync("kill", "-9", pid);
            await HostCommand.RunAsync("ip", "netns", "del", host.Space);
        }

        System.IO.Directory.Delete(_directory, recursive: true);
    }

    private async Task AddAsync(string name, string space, string net)
    {
        int number = _hosts.Count;
        string card = $"mt{Environment.ProcessId % 100_000}n{_made}x{number}";
        string[] within = space.Length > 0 ? ["-n", space] : [];
        _taps.Add(TapDevice.Open(card));
        string bootId = Path.Combine(_directory, $"boot-id-{number}");
        await File.WriteAllTextAsync(bootId, $"{Guid.NewGuid()}\n");
        _hosts.Add(new NetworkHost(name, number, space, $"{net}.{number + 1}")
        {
            Starter = space.Length == 0 ? [] : ["ip", "netns", "exec", space, "sh", "-c",
                $"mount --bind {bootId} /proc/sys/kernel/random/boot_id && exec \"$0\" \"$@\""],
        });
        if (space.Length > 0)
        {
            await HostCommand.MakeAsync("ip", "netns", "add", space);
            await HostCommand.CheckedAsync("ip", "-n", space, "link", "set", "lo", "up");
            await HostCommand.CheckedAsync("ip", "link", "set", card, "netns", space);
        }

        await HostCommand.CheckedAsync("ip",
            [.. within, "link", "set", card, "address", $"02:00:00:00:00:{number:x2}"]);
        await HostCommand.CheckedAsync("ip", [.. within, "link", "set", card, "mtu", "9000", "up"]);
        await HostCommand.CheckedAsync("ip", [.. within, "addr", "add", $"{net}.{number + 1}/24", "dev", card]);
    }

    private void Run()
    {
        _faults = new LinkFault[_hosts.Count, _hosts.Count];
        for (int i = 0; i < _faults.Length; i++)
            _faults[i / _hosts.Count, i % _hosts.Count] = LinkFault.None;
        for (int i = 0; i < _hosts.Count; i++)
        {
            int from = i;
            _threads.Add(new Thread(() => Forward(from)) { IsBackground = true, Name = $"switch-{i}" });
        }

        _threads.Add(new Thread(DeliverDelayed) { IsBackground = true, Name = "switch-delay" });
        foreach (var thread in _threads)
            thread.Start();
    }

    private void Forward(int from)
    {
        byte[] frame = new byte[FrameBytes];
        var random = new Random(from);
        while (!_stopped)
        {
            int length = _taps[from].Read(frame);
            if (length < 14)
                continue;
            // The last byte of a card's address is its host's number; what is for a group goes to all.
            bool isForAll = (frame[0] & 1) != 0;
            for (int to = 0; to < _hosts.Count; to++)
            {
                if (to != from && (isForAll || frame[AddressAt] == to))
                    Deliver(from, to, frame.AsSpan(0, length), random);
            }
        }
    }

    private void Deliver(int from, int to, ReadOnlySpan<byte> frame, Random random)
    {
        var fault = Volatile.Read(ref _faults[from, to]);
        if (fault.Cut || (fault.Loss > 0 && random.NextDouble() < fault.Loss))
            return;
        if (fault.Delay <= TimeSpan.Zero)
        {
            _taps[to].Write(frame);
            return;
        }

        lock (_delayed)
        {
            _delayed.Enqueue((to, frame.ToArray()), Environment.TickCount64 + (long)fault.Delay.TotalMilliseconds);
            Monitor.Pulse(_delayed);
        }
    }

    private void DeliverDelayed()
    {
        lock (_delayed)
        {
            while (!_stopped)
            {
                if (!_delayed.TryPeek(out var next, out long at))
                    Monitor.Wait(_delayed);
                else if (at > Environment.TickCount64)
                    Monitor.Wait(_delayed, (int)Math.Max(1, at - Environment.TickCount64));
                else
                    _taps[_delayed.Dequeue().To].Write(next.Frame);
            }
        }
    }
}

/// <summary>An ethernet card whose other end is this process; it goes when this is disposed.</summary>
internal sealed class TapDevice : IDisposable
{
    public const string Path = "/dev/net/tun";
    private const int ReadWrite = 2;
    private const int CloseOnExec = 0x80000;
    private const ulong SetInterface = 0x400454ca;
    private const short Tap = 0x0002;
    private const short NoPacketInfo = 0x1000;
    private const short PollIn = 1;
    private const int NameBytes = 16;
    private readonly int _fd;

    private TapDevice(int fd) => _fd = fd;

    public static TapDevice Open(string name)
    {
        int fd = open(Path, ReadWrite | CloseOnExec);
        byte[] request = new byte[40];
        System.Text.Encoding.ASCII.GetBytes(name, request);
        BitConverter.TryWriteBytes(request.AsSpan(NameBytes), (short)(Tap | NoPacketInfo));
        Assert.SkipUnless(fd >= 0 && ioctl(fd, SetInterface, request) == 0, $"no tap device can be made of {Path}");
        return new TapDevice(fd);
    }

    /// <summary>The next frame; 0 when none came for a while.</summary>
    public int Read(byte[] frame)
    {
        var wait = new PollEntry { Fd = _fd, Events = PollIn };
        return poll(ref wait, 1, 50) > 0 ? (int)read(_fd, frame, frame.Length) : 0;
    }

    /// <summary>Hands a frame over; it is lost where the card is not up.</summary>
    public void Write(ReadOnlySpan<byte> frame) => _ = write(_fd, in MemoryMarshal.GetReference(frame), frame.Length);

    public void Dispose() => _ = close(_fd);

    [StructLayout(LayoutKind.Sequential)]
    private struct PollEntry
    {
        public int Fd;
        public short Events;
        public short Returned;
    }

    [DllImport("libc", CharSet = CharSet.Ansi, BestFitMapping = false, ThrowOnUnmappableChar = true)]
    private static extern int open(string path, int flags);

    [DllImport("libc")]
    private static extern int ioctl(int fd, ulong request, byte[] argument);

    [DllImport("libc")]
    private static extern int poll(ref PollEntry entries, ulong count, int milliseconds);

    [DllImport("libc")]
    private static extern nint read(int fd, byte[] to, nint length);

    [DllImport("libc")]
    private static extern nint write(int fd, in byte from, nint length);

    [DllImport("libc")]
    private static extern int close(int fd);
}
