// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Mooncake.Mesh.Client.Engine;
using Mooncake.Mesh.Transfer.Engine;

namespace Mooncake.Mesh.Client.Tests.Engine;

/// <summary>An engine in a process of its own, which does what it is told line by line.</summary>
internal sealed partial class EngineChild : IDisposable
{
    public const string Mark = "--engine-child";
    private const int Nobody = 65_534;
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(120);
    private readonly Process _process;

    private EngineChild(Process process, string address)
    {
        _process = process;
        Address = address;
    }

    /// <summary>Its host:port.</summary>
    public string Address { get; }

    /// <summary>Its process.</summary>
    public int Id => _process.Id;

    /// <summary>Starts a process with an engine; by name "nobody@HOST:PORT" as another user.</summary>
    public static async Task<EngineChild> StartAsync(TransferTransports transports = TransferTransports.All,
        string name = "127.0.0.1")
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!, [Mark, name, transports.ToString()])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        var process = Process.Start(start)!;
        string? line = await process.StandardOutput.ReadLineAsync().WaitAsync(Long);
        Assert.StartsWith("ready ", line);
        return new EngineChild(process, line!["ready ".Length..]);
    }

    /// <summary>Gives it a line; its answer.</summary>
    public async Task<string> AskAsync(string line)
    {
        await _process.StandardInput.WriteLineAsync(line);
        await _process.StandardInput.FlushAsync();
        string? answer = await _process.StandardOutput.ReadLineAsync().WaitAsync(Long);
        return answer ?? throw new InvalidOperationException($"the process ended when it was told '{line}'");
    }

    /// <summary>Memory of it: "managed", "plain" or "private" (not for peers); its address.</summary>
    public async Task<ulong> MemoryAsync(string kind, long length) =>
        ulong.Parse(await AskAsync($"{kind} {length}"), CultureInfo.InvariantCulture);

    /// <summary>Sends a signal by name.</summary>
    public void Signal(string name)
    {
        using var kill = Process.Start("kill", ["-" + name, Id.ToString(CultureInfo.InvariantCulture)]);
        kill.WaitForExit();
        Assert.Equal(0, kill.ExitCode);
    }

    /// <summary>Ends it where it stands.</summary>
    public void Kill()
    {
        if (!_process.HasExited)
            _process.Kill();
        _process.WaitForExit();
    }

    public void Dispose()
    {
        Kill();
        _process.Dispose();
    }

    /// <summary>What the other process does, until its input ends.</summary>
    public static int Run(string name, string transports)
    {
        bool nobody = name.StartsWith("nobody@", StringComparison.Ordinal);
        if (nobody && (setgid(Nobody) != 0 || setuid(Nobody) != 0))
            return 3;
        var created = TransferEngine.Create(new TransferEngineOptions
        {
            LocalName = nobody ? name["nobody@".Length..] : name,
            Transports = Enum.Parse<TransferTransports>(transports),
        });
        if (!created.Succeeded)
        {
            Console.WriteLine(created.Error);
            return 1;
        }

        using var engine = created.Value;
        Console.WriteLine("ready " + engine.LocalAddress);
        while (Console.ReadLine() is { } line)
            Console.WriteLine(Answer(engine, line.Split(' ')));
        return 0;
    }

    private static string Answer(TransferEngine engine, string[] words) => words[0] switch
    {
        "managed" => Text(engine.AllocateManaged(ulong.Parse(words[1], CultureInfo.InvariantCulture))),
        "plain" => Plain(engine, Number(words[1]), remote: true),
        "private" => Plain(engine, Number(words[1]), remote: false),
        "raw" => Text(new NativeBytes(Number(words[1])).Address),
        "churn" => Churn(engine, (nint)Number(words[1]), Number(words[2]), (int)Number(words[3])),
        "fill" => Fill((nint)Number(words[1]), Number(words[2]), (int)Number(words[3])),
        "differs" => Text(NativeBytes.Difference((nint)Number(words[1]), Number(words[2]), (int)Number(words[3]))),
        "unregister" => engine.Unregister((nint)Number(words[1]))?.Code.ToString() ?? "None",
        "free" => engine.FreeManaged((nint)Number(words[1]), (ulong)Number(words[2]))?.Code.ToString() ?? "None",
        "notifies" => string.Join('|', engine.TakeNotifies().Select(n => $"{n.Name}={n.Message}")),
        "move" => Move(engine, words),
        "links" => engine.ShowLinks(json: true),
        _ => "?",
    };

    private static string Plain(TransferEngine engine, long length, bool remote)
    {
        var memory = new NativeBytes(length);
        var error = engine.Register(memory.Address, (ulong)length, "*", remote);
        return error is null ? Text(memory.Address) : error.ToString();
    }

    private static string Fill(nint address, long length, int seed)
    {
        NativeBytes.Fill(address, length, seed);
        return "filled";
    }

    /// <summary>
    /// Registers memory and takes it back, over and over: in between peers may write it, after it nobody does.
    /// </summary>
    private static string Churn(TransferEngine engine, nint address, long length, int rounds)
    {
        int written = 0;
        // A writer that is held up meanwhile is waited for.
        for (int round = 0; round < rounds || (written == 0 && round < 100 * rounds); round++)
        {
            NativeBytes.Fill(address, length, round);
            if (engine.Register(address, (ulong)length) is { } error)
                return error.ToString();
            // A while of either kind, so that copies begin in each.
            Thread.SpinWait(20_000);
            if (engine.Unregister(address) is { } busy)
                return busy.ToString();
            written += NativeBytes.Difference(address, length, round) < 0 ? 0 : 1;
            NativeBytes.Fill(address, length, round);
            Thread.SpinWait(20_000);
            if (NativeBytes.Difference(address, length, round) is var at and >= 0)
                return $"byte {at} was written after the memory was taken back, in round {round}";
        }

        return written > 0 ? "kept" : "untouched";
    }

    /// <summary>"move OPCODE SEGMENT SOURCE TARGET LENGTH COUNT": a batch of neighbouring ranges.</summary>
    private static string Move(TransferEngine engine, string[] words)
    {
        long length = Number(words[5]);
        var requests = new TransferRequest[Number(words[6])];
        var segment = engine.OpenSegment(words[2]);
        if (!segment.Succeeded)
            return segment.Error!.Code.ToString();
        for (int i = 0; i < requests.Length; i++)
        {
            requests[i] = new TransferRequest(Enum.Parse<TransferOpcode>(words[1]),
                (nint)(Number(words[3]) + (i * length)), segment.Value,
                ulong.Parse(words[4], CultureInfo.InvariantCulture) + (ulong)(i * length), (ulong)length);
        }

        var moved = engine.Transfer(requests);
        return moved.Succeeded ? moved.Value.State.ToString() : moved.Error!.ToString();
    }

    private static long Number(string text) => long.Parse(text, CultureInfo.InvariantCulture);

    private static string Text<T>(T value)
        where T : IFormattable => value.ToString(null, CultureInfo.InvariantCulture);

    private static string Text(TransferResult<nint> value) =>
        value.Succeeded ? Text(value.Value) : value.Error!.ToString();

    [LibraryImport("libc", SetLastError = true)]
    private static partial int setgid(int group);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int setuid(int user);
}
