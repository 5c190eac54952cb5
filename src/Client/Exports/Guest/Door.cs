// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Exports.Sessions;

namespace Mooncake.Mesh.Exports.Guest;

/// <summary>
/// What every exported function goes through: no exception passes it, a forked child is turned back, and a handle is
/// one of ours that is open and stays so while the call is under way.
/// </summary>
internal static class Door
{
    /// <summary>Runs a call without a handle; what it returns, or the code of its failure.</summary>
    public static long Run(Func<long> body)
    {
        try
        {
            return HostProcess.IsForked ? Fail(ErrorCodes.Forked, HostProcess.ForkedText) : body();
        }
        catch (RefusedException refused)
        {
            return Fail(refused.Code, refused.Message);
        }
        catch (MeshException failed)
        {
            return ErrorCodes.Of(failed.Error);
        }
        catch (Exception unexpected)
        {
            return Fail(ErrorCodes.Internal, $"{unexpected.GetType().Name}: {unexpected.Message}");
        }
    }

    /// <summary>Runs a call on an open handle.</summary>
    public static long With(nint handle, HandleKind kind, Func<Session, long> body) => Run(() =>
    {
        if (Handles.Sessions.Find(handle) is not { } session || session.Kind != kind || !session.TryEnter())
            return Fail(ErrorCodes.BadHandle, $"0x{handle:x} is no open handle of this library");
        try
        {
            return body(session);
        }
        finally
        {
            session.Leave();
        }
    });

    /// <summary>Remembers why, and returns the code.</summary>
    public static int Fail(int code, string message)
    {
        LastError.Set(message);
        return code;
    }
}
