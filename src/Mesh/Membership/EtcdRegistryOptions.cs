// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Membership;

/// <summary>How the mesh's etcd is reached.</summary>
public sealed record EtcdRegistryOptions
{
    /// <summary>Endpoints as typed; see <see cref="EtcdEndpoints.Parse"/>.</summary>
    public string Endpoints { get; init; } = "http://127.0.0.1:2379";

    /// <summary>Name of the mesh, 1 to 128 of [A-Za-z0-9._-]; keys lie below /mooncake-mesh/NAME/.</summary>
    public string Cluster { get; init; } = "default";

    /// <summary>etcd user, or null for none.</summary>
    public string? User { get; init; }

    /// <summary>
    /// The user's password; <see cref="PasswordFile"/> keeps it out of configuration and environment.
    /// </summary>
    public string? Password { get; init; }

    /// <summary>
    /// File that holds the password, read again for each new token; white space at its end is ignored.
    /// </summary>
    public string? PasswordFile { get; init; }

    /// <summary>PEM file of the authorities that sign etcd's certificate; null: the system's.</summary>
    public string? CaFile { get; init; }

    /// <summary>PEM file of our client certificate, or null.</summary>
    public string? CertificateFile { get; init; }

    /// <summary>PEM file of the client certificate's key.</summary>
    public string? KeyFile { get; init; }

    /// <summary>Longest time one call may take.</summary>
    public TimeSpan CallDeadline { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Every error of these settings, at stage "config:etcd" or "config:cluster".</summary>
    public IReadOnlyList<MeshError> Validate()
    {
        var errors = new List<MeshError>();
        var endpoints = EtcdEndpoints.Parse(Endpoints);
        if (endpoints.Error is { } error)
            errors.Add(error);
        else if (!endpoints.Value.Tls && (CaFile ?? CertificateFile ?? KeyFile) is { } file)
            errors.Add(Wrong($"'{file}' is for TLS, but the endpoints '{Endpoints}' are not https"));
        if (!MembershipNames.IsValid(Cluster))
            errors.Add(new MeshError(MeshErrorCode.InvalidArgument, "config:cluster",
                $"cluster '{Cluster}': expected {MembershipNames.Expected}"));
        if ((CertificateFile is null) != (KeyFile is null))
            errors.Add(Wrong("a client certificate needs both its certificate file and its key file"));
        if (User is null && (Password ?? PasswordFile) is not null)
            errors.Add(Wrong("a password is given without a user"));
        if (User is not null && (Password is null) == (PasswordFile is null))
            errors.Add(Wrong($"user '{User}' needs either a password or a password file"));
        if (CallDeadline < TimeSpan.FromMilliseconds(10) || CallDeadline > TimeSpan.FromMinutes(1))
            errors.Add(Wrong($"call deadline {CallDeadline} is not from 10 ms to 1 min"));
        return errors;
    }

    private static MeshError Wrong(string message) => new(MeshErrorCode.InvalidArgument, "config:etcd", message);
}

/// <summary>The one rule for the names of meshes and nodes: they become parts of keys and file names.</summary>
internal static class MembershipNames
{
    public const string Expected = "1 to 128 of [A-Za-z0-9._-]";

    private static readonly System.Buffers.SearchValues<char> Allowed =
        System.Buffers.SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

    public static bool IsValid(string name) =>
        name.Length is > 0 and <= 128 && !name.AsSpan().ContainsAnyExcept(Allowed);
}
