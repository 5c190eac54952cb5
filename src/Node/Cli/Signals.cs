// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;

namespace Mooncake.Mesh.Node.Cli;

/// <summary>
/// SIGINT and SIGTERM: the first asks to stop, the second to stop now; neither ends the process. SIGHUP, where somebody
/// has asked to hear of it, ends it neither.
/// </summary>
internal sealed class Signals : IDisposable
{
    private readonly CancellationTokenSource _first = new();
    private readonly CancellationTokenSource _second = new();
    private readonly PosixSignalRegistration[] _registrations;
    private volatile Action? _hangUp;

    internal Signals() => _registrations =
    [
        PosixSignalRegistration.Create(PosixSignal.SIGINT, Handle),
        PosixSignalRegistration.Create(PosixSignal.SIGTERM, Handle),
    ];

    /// <summary>Cancelled by the first signal.</summary>
    internal CancellationToken First => _first.Token;

    /// <summary>Cancelled by the second signal.</summary>
    internal CancellationToken Second => _second.Token;

    /// <summary>What a signal does; tests call it in place of one.</summary>
    internal void Raise()
    {
        if (_first.IsCancellationRequested)
            _second.Cancel();
        else
            _first.Cancel();
    }

    /// <summary>Has SIGHUP call <paramref name="action"/>, on any thread, until what is returned is disposed.</summary>
    internal IDisposable OnHangUp(Action action)
    {
        _hangUp = action;
        return PosixSignalRegistration.Create(PosixSignal.SIGHUP, context =>
        {
            context.Cancel = true;
            RaiseHangUp();
        });
    }

    /// <summary>What SIGHUP does; tests call it in place of one.</summary>
    internal void RaiseHangUp() => _hangUp?.Invoke();

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
            registration.Dispose();
    }

    private void Handle(PosixSignalContext context)
    {
        context.Cancel = true;
        Raise();
    }
}
