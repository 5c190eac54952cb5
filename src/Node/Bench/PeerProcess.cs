// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>
/// This program as a second process, under another command line: the other side of what is measured. Killed at
/// dispose.
/// </summary>
internal sealed class PeerProcess : IDisposable
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(120);
    private readonly Process _process;

    private PeerProcess(Process process) => _process = process;

    /// <summary>Its process id.</summary>
    internal int Id => _process.Id;

    /// <summary>Starts this program; also returns its first line of output.</summary>
    /// <exception cref="MeshException">It ended, or said nothing in time.</exception>
    internal static Task<(PeerProcess Peer, string FirstLine)> StartAsync(params string[] arguments) =>
        StartWithinAsync([], CancellationToken.None, arguments);

    /// <summary>The same by another program, which starts the one that its arguments name.</summary>
    /// <param name="starter">That program and its first arguments; empty: none.</param>
    /// <param name="cancel">Ends the wait, and the process.</param>
    /// <param name="arguments">Arguments of this program.</param>
    internal static Task<(PeerProcess Peer, string FirstLine)> StartWithinAsync(
        IReadOnlyList<string> starter, CancellationToken cancel, params string[] arguments)
    {
        string program = Environment.ProcessPath!;
        bool isHost = Path.GetFileNameWithoutExtension(program) == "dotnet";
        string[] all = isHost
            ? [.. starter, program, Path.Combine(AppContext.BaseDirectory, "mooncake-mesh.dll"), .. arguments]
            : [.. starter, program, .. arguments];
        return StartProgramAsync(all[0], all[1..], cancel);
    }

    /// <summary>SIGKILL; returns at once.</summary>
    internal void Kill() => _process.Kill();

    /// <summary>Gives it a line and waits for one.</summary>
    /// <exception cref="MeshException">It has ended, or did not answer in time.</exception>
    internal async Task<string> AskAsync(string line, CancellationToken cancel)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        limit.CancelAfter(AnswerLimit);
        try
        {
            await _process.StandardInput.WriteLineAsync(line.AsMemory(), limit.Token);
            await _process.StandardInput.FlushAsync(limit.Token);
            return await _process.StandardOutput.ReadLineAsync(limit.Token)
                ?? throw new MeshException(new MeshError(MeshErrorCode.System, "bench",
                    $"the process ended when it was asked '{line}'"));
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            throw new MeshException(new MeshError(MeshErrorCode.DeadlineExceeded, "bench",
                $"the process did not answer '{line}' in {AnswerLimit.TotalSeconds:0} s"));
        }
    }

    /// <summary>Starts a program that writes nothing.</summary>
    internal static PeerProcess StartSilent(string program, IReadOnlyList<string> arguments)
    {
        Process process = Launch(program, arguments);
        process.OutputDataReceived += static (_, _) => { };
        process.BeginOutputReadLine();
        return new PeerProcess(process);
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            _process.WaitForExit();
        }

        _process.Dispose();
    }

    private static async Task<(PeerProcess Peer, string FirstLine)> StartProgramAsync(
        string program, IReadOnlyList<string> arguments, CancellationToken cancel)
    {
        Process process = Launch(program, arguments);
        var peer = new PeerProcess(process);
        try
        {
            using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancel);
            timeout.CancelAfter(StartLimit);
            string? line = await process.StandardOutput.ReadLineAsync(timeout.Token);
            if (line is not null)
                return (peer, line);
            throw new MeshException(new MeshError(MeshErrorCode.System, "bench",
                $"the process '{string.Join(' ', arguments)}' ended before it was ready"));
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            peer.Dispose();
            throw new MeshException(new MeshError(MeshErrorCode.DeadlineExceeded, "bench",
                $"the process '{string.Join(' ', arguments)}' was not ready in {StartLimit.TotalSeconds:0} s"));
        }
        catch
        {
            peer.Dispose();
            throw;
        }
    }

    private static Process Launch(string program, IReadOnlyList<string> arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        Process process = Process.Start(start)!;
        // Nobody reads it otherwise, and a full pipe stops the process.
        process.ErrorDataReceived += static (_, _) => { };
        process.BeginErrorReadLine();
        return process;
    }
}
